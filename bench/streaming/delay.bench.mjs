import { Redis } from 'ioredis';
import { judge, median, quantile } from '../lib/statistics.mjs';
import { messageOf } from './message.mjs';
import { openStreams } from './redstart.mjs';

const messages = 1_000;
/** The due times are spread over this, so about one message a millisecond is due. */
const [shortestMs, longestMs] = [200, 1_200];
const mostRounds = 5;

/** How late delayed messages come to their handler. */
export async function delayBench({ url, rounds }) {
  const redis = new Redis(url);
  /** By the number of the message, on the clock of the machine, which Redis has too. */
  let arrivals = [];
  let left = 0;
  let arrived = () => undefined;
  const streams = await openStreams(url, {
    streams: ['delayed'],
    handle({ number }) {
      arrivals[number] = performance.timeOrigin + performance.now();
      left -= 1;
      if (left === 0) arrived();
    },
  });
  const rows = [];
  for (let round = -1; round < Math.min(rounds, mostRounds); round += 1) {
    arrivals = [];
    left = messages;
    const all = new Promise((resolve) => {
      arrived = resolve;
    });
    const publications = await Promise.all(
      Array.from({ length: messages }, (_, number) => {
        const delay = Math.round(shortestMs + Math.random() * (longestMs - shortestMs));
        return streams.publish(messageOf(number), { delay });
      }),
    );
    await all;
    const late = publications.map(({ dueAt }, number) => arrivals[number] - dueAt.getTime());
    // The first one is to warm up.
    if (round >= 0) rows.push({ p50: median(late), p99: quantile(late, 0.99), slowest: Math.max(...late) });
  }
  await streams.close();
  await redis.flushdb('ASYNC');
  redis.disconnect();
  const bar = { atMost: 50 };
  const ms = (figure) => `${median(rows.map((row) => row[figure])).toFixed(1)} ms`;
  return {
    title: 'Lateness of delayed messages',
    text: [
      `${messages.toLocaleString('en')} messages, published at once, that are due at random moments between ${shortestMs} and ${longestMs} ms later; from the due time to the beginning of the handler,`,
      'publisher and consumer in one process.',
    ].join('\n'),
    tables: [[{ p50: ms('p50'), p99: ms('p99'), slowest: ms('slowest') }]],
    verdicts: [
      {
        measure: 'ms that 99 of 100 delayed messages are late at most',
        bar,
        ...judge(
          rows.map(({ p99 }) => p99),
          bar,
        ),
      },
    ],
  };
}
