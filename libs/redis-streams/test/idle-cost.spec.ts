import { setTimeout as sleep } from 'node:timers/promises';
import { commandsDuring, eventually, RedisServer } from '@redstart/redis-testing';
import { defineStream, event, StreamConsumer, StreamHandler, type StreamDefinition } from '../src/index.js';
import { blockedReaders, consumerOf, countedStream, type Counted } from './support/readers.js';
import { closingApps, startApp } from './support/start-app.js';

const partitions = 32;
const moves = defineStream('moves', { events: { counted: event<Counted>() }, partitions });
/** A beat of the members comes every 4 s, and every other look falls into the time that is looked at. */
const options = { block: '2s', claimInterval: '4s', minIdle: '12s' } as const;
const seconds = 4;

@StreamConsumer(moves, { group: 'billing' })
class Moving {
  @StreamHandler('counted')
  counted() {
    return undefined;
  }
}

/** What the server carries out while some time passes, beside what is part of a script. */
async function commandsWithin(server: RedisServer, ms: number) {
  const counts = await commandsDuring([server], () => sleep(ms));
  const sum = (...names: string[]) => names.reduce((total, name) => total + (counts[name] ?? 0), 0);
  return {
    reads: sum('xreadgroup'),
    scripts: sum('evalsha', 'eval'),
    looksForPauses: sum('mget'),
    changes: sum('publish', 'xgroup|create', 'client|unblock'),
  };
}

/** What an idle application sends. */
async function idleCommands(streams: StreamDefinition[], consumers: Parameters<typeof startApp>[0]['consumers'] = []) {
  await using server = await RedisServer.start();
  await using _apps = closingApps();
  await startApp({ connection: { url: server.url }, streams, consumers, options });
  await blockedReaders([server], 1);
  if (streams.includes(moves)) {
    const client = server.client();
    await eventually(async () => (await client.keys('*:owner:billing')).length === partitions);
  }
  // Each stream is prepared by itself: the first ones may be waited for while others are still to come.
  await eventually(async () => {
    expect(await commandsWithin(server, 200)).toEqual({ reads: 0, scripts: 0, looksForPauses: 0, changes: 0 });
  });
  const began = performance.now();
  const counts = await commandsWithin(server, seconds * 1_000);
  // From before the server began to count until after it has told.
  return { ...counts, elapsed: (performance.now() - began) / 1_000 };
}

/** How often something comes that comes every so many seconds at most: it may come at both ends of the time that was looked at. */
const most = (elapsed: number, every: number) => Math.floor(elapsed / every) + 1;

describe('an idle application', () => {
  it.each([
    [
      'the owner of 32 partitions',
      () => ({ streams: [moves], consumers: [Moving] }),
      // A look for what is due, and the two scripts of a beat.
      (elapsed: number) => most(elapsed, 1) + 2 * most(elapsed, 3.2),
    ],
    [
      'the reader of 100 streams',
      () => {
        const streams = Array.from({ length: 100 }, (_, at) => countedStream(`counted-${at}`));
        return { streams, consumers: streams.map((stream) => consumerOf(stream, () => undefined)) };
      },
      // Two looks for what is due, of more queues than fit into one, and the two scripts of a look for dead consumers.
      (elapsed: number) => 2 * most(elapsed, 2) + 2 * most(elapsed, 3),
    ],
  ])('sends one command per block period and two a second: %s', async (_, appOf, mostScripts) => {
    const { streams, consumers } = appOf();
    const { reads, scripts, looksForPauses, changes, elapsed } = await idleCommands(streams, consumers);
    expect(reads).toBeGreaterThan(0);
    expect(reads).toBeLessThanOrEqual(most(elapsed, 2));
    expect(scripts).toBeGreaterThan(0);
    expect(scripts).toBeLessThanOrEqual(mostScripts(elapsed));
    expect(looksForPauses).toBeLessThanOrEqual(most(elapsed, 2));
    expect(changes).toBe(0);
  });
});
