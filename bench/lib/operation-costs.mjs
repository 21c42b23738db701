/** How many operations a counted pass takes. */
const operations = 2_000;

/**
 * What one operation costs besides time, counted by the server in passes of their own: exact, and without any influence on the timed slices.
 *
 * @param {(number: number) => Promise<unknown>} operation
 * @param {{ concurrency: number, counters: import('./server-counters.mjs').ServerCounters }} options
 * @returns {Promise<{ messages: string, inScripts: string, bytes: string }>}
 */
export function operationCosts(operation, { concurrency, counters }) {
  const pass = async () => {
    let count = 0;
    const loop = async () => {
      while (count < operations) {
        count += 1;
        await operation(count);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, loop));
    return { count };
  };
  return countedCosts(pass, counters);
}

/**
 * The same for any work that says itself how many operations it was. It is done twice.
 *
 * @param {() => Promise<{ count: number }>} work
 * @param {import('./server-counters.mjs').ServerCounters} counters
 * @param {() => Promise<void>} [prepare] what has to be there each time, and is not counted
 */
export async function countedCosts(work, counters, prepare = async () => undefined) {
  await prepare();
  const { result: weighed, toServer, fromServer } = await counters.bytesOf(work);
  await prepare();
  const { result: listed, sent, inScripts } = await counters.commandsOf(work);
  return {
    messages: each(sent, listed.count),
    inScripts: each(inScripts, listed.count),
    bytes: `${Math.round(toServer / weighed.count)} / ${Math.round(fromServer / weighed.count)}`,
  };
}

/** `3: EVALSHA 2, SET 1`; what happens less than once in a hundred operations goes unnamed. */
function each(counts, count) {
  const total = [...counts.values()].reduce((sum, times) => sum + times, 0) / count;
  if (total < 0.005) return '0';
  const names = [...counts]
    .map(([name, times]) => [name, times / count])
    .filter(([, times]) => times >= 0.01)
    .sort(([, a], [, b]) => b - a)
    .map(([name, times]) => `${name} ${short(times)}`);
  return names.length === 1 ? names[0] : `${short(total)}: ${names.join(', ')}`;
}

const short = (number) => String(Number(number.toFixed(2)));
