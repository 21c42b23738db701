/** Shows how far the demo is: one line in place on a terminal, one plain line per scene anywhere else. */

const BAR = 20;
const SHOW_EVERY = 100;
const CLEAR_LINE = '\r\u001B[2K';

/**
 * @param {{ isTTY?: boolean, columns?: number, write: (text: string) => unknown }} stream
 * @param {{ env?: NodeJS.ProcessEnv, isQuiet?: () => boolean, now?: () => number }} options `isQuiet`: nothing is shown any more
 */
export function createProgress(
  stream,
  { env = process.env, isQuiet = () => false, now = performance.now.bind(performance) } = {},
) {
  const inPlace = stream.isTTY === true && env.TERM !== 'dumb';
  let shownAt = -Infinity;
  const write = (text) => {
    if (!isQuiet()) stream.write(text);
  };
  return {
    /** What is going on. @param {number} done share of the whole, 0 to 1 */
    show(done, text) {
      if (!inPlace || now() - shownAt < SHOW_EVERY) return;
      shownAt = now();
      write(CLEAR_LINE + `${bar(done)} ${text}`.slice(0, (stream.columns ?? 80) - 1));
    },

    /** A line that stays. */
    line(text) {
      shownAt = -Infinity;
      write(`${inPlace ? CLEAR_LINE : ''}${text}\n`);
    },
  };
}

function bar(done) {
  const filled = Math.round(Math.min(1, Math.max(0, done)) * BAR);
  return '█'.repeat(filled) + '░'.repeat(BAR - filled);
}

/** Colours are for people at a terminal who have not refused them. */
export const mayColour = (stream, env = process.env) =>
  stream.isTTY === true && env.TERM !== 'dumb' && (env.NO_COLOR ?? '') === '';
