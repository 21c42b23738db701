import { setTimeout as sleep } from 'node:timers/promises';
import { FaultProxy, RedisServer } from '@redstart/redis-testing';
import { Arena } from './arena/arena.js';
import type { Contest } from './arena/contest.js';
import { Crew } from './arena/crew.js';
import { testTimeoutMs, underFault } from './arena/under-fault.js';
import { lockOptions, ttlMs } from './terms.js';
import type { WorkerProcess } from './worker/worker-process.js';

const faults = 24;
const stormMs = 4_000;
const among = <T>(things: readonly T[]): T | undefined => things[Math.floor(Math.random() * things.length)];

/** What no test with a name has thought of: faults at random moments, to whoever it may be, several at a time. */
describe('chaos: storm', () => {
  let server: RedisServer;
  let crew: Crew;
  let arena: Arena;
  let proxies: readonly FaultProxy[];
  beforeAll(async () => {
    [server, crew] = await Promise.all([RedisServer.start(), Crew.assemble()]);
    proxies = await Promise.all(crew.workers.map(() => FaultProxy.start(server)));
    arena = await Arena.open({
      crew,
      targetOf: (place) => ({
        redis: [{ namespace: 'shop', url: proxies[place]?.url ?? server.url }],
        lock: lockOptions,
      }),
      clients: [server.client()],
      masters: () => Promise.resolve([server]),
      serverOf: () => Promise.resolve(server),
    });
  }, testTimeoutMs);
  afterAll(async () => {
    await arena[Symbol.asyncDispose]();
    expect(crew.complaints).toEqual([]);
    await crew[Symbol.asyncDispose]();
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await server.stop();
  });

  /** Each lasts for a time that may or may not be longer than a lease. */
  const aWhile = () => sleep(Math.random() * ttlMs * 1.5);
  const toAWorker: Record<string, (contest: Contest, worker: WorkerProcess) => Promise<unknown>> = {
    async kill(contest, worker) {
      await arena.kill(worker);
      await contest.replace(worker);
    },
    async freeze(_contest, worker) {
      await arena.freeze(worker);
      await aWhile();
      await arena.thaw(worker);
    },
    stall: (_contest, worker) => arena.stall(worker, Math.random() * ttlMs * 1.5),
    async reset(_contest, worker) {
      proxies[crew.workers.indexOf(worker)]?.reset();
      await aWhile();
    },
    async loseAReply(_contest, worker) {
      const lost = proxies[crew.workers.indexOf(worker)]?.dropReply('EVALSHA', { thenReset: Math.random() < 0.5 });
      await aWhile();
      lost?.stop();
    },
  };
  const toTheServer: Record<string, (contest: Contest) => Promise<unknown>> = {
    async pause() {
      server.pause();
      await aWhile();
      server.resume();
    },
    flush: (contest) => contest.forgets('forgot', () => server.flush()),
    scriptFlush: () => server.ask((redis) => redis.script('FLUSH')),
  };

  it(
    'everything at once',
    () =>
      underFault(arena, 'everything at once', { times: 1, terms: { workMs: 100 } }, async (contest) => {
        await contest.nobodyListens(); // for sure, so that order is judged before and after the storm
        const doings: Promise<unknown>[] = [];
        const struck = new Set<number>();
        let serverStruck = false;
        for (let fault = 0; fault < faults; fault++) {
          await sleep((Math.random() * 2 * stormMs) / faults);
          const place = among(crew.workers.map((_, index) => index).filter((index) => !struck.has(index)));
          const victim = place === undefined ? undefined : crew.workers[place];
          if (Math.random() < 0.2 && !serverStruck) {
            serverStruck = true;
            const disturb = among(Object.values(toTheServer));
            doings.push(
              Promise.resolve(disturb?.(contest)).finally(() => {
                serverStruck = false;
              }),
            );
          } else if (place !== undefined && victim !== undefined) {
            struck.add(place);
            const disturb = among(Object.values(toAWorker));
            doings.push(Promise.resolve(disturb?.(contest, victim)).finally(() => struck.delete(place)));
          }
        }
        await Promise.all(doings);
        return doings.length;
      }),
    testTimeoutMs,
  );
});
