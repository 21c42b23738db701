/**
 * One process of a crowd. Opens its lockers, then carries out one order after the other until its parent hangs up.
 *
 * A turn is `[worker, askedAt, grantedAt, freedAt]`: when the lock was asked for, when it was had, and when giving it back began.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { systemCalls } from '../lib/system-calls.mjs';
import { openLocker } from '../lockers/index.mjs';
import { now } from './clock.mjs';

const [url, ...names] = process.argv.slice(2);
const lockers = new Map();
for (const name of names) lockers.set(name, await openLocker(name, url));

process.on('message', (order) => {
  carryOut(order).then(
    (report) => process.send(report),
    (error) => process.send({ failure: String(error?.stack ?? error) }),
  );
});
process.once('disconnect', () => process.exit());
process.send({ ready: true });

/** @param {import('./crowd.mjs').Order} order */
async function carryOut({ locker, key, workers, startAt, forMs, holdMs, paced }) {
  const { acquire, pause } = lockers.get(locker);
  const turns = [];
  let served = 0;
  const turn = async (worker) => {
    const askedAt = now();
    const release = await acquire(key);
    const grantedAt = now();
    served += 1;
    // Who comes in after the end only makes way for the others.
    if (forMs === undefined || grantedAt < startAt + forMs) {
      await sleep(holdMs);
      turns.push([worker, askedAt, grantedAt, now()]);
    }
    await release();
  };
  const work = async (worker) => {
    await turn(worker);
    while (forMs !== undefined && now() < startAt + forMs) {
      if (paced) await pause();
      await turn(worker);
    }
  };
  await sleep(startAt - now());
  const callsBefore = systemCalls();
  const cpuBefore = process.cpuUsage();
  await Promise.all(Array.from({ length: workers }, (_, at) => work(`${process.pid}:${at}`)));
  const { user, system } = process.cpuUsage(cpuBefore);
  const calls = systemCalls();
  return {
    turns,
    served,
    cpuMicros: user + system,
    ...(calls && { calls: calls.reads - callsBefore.reads + calls.writes - callsBefore.writes }),
  };
}
