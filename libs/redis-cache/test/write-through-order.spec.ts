import { setImmediate } from 'node:timers/promises';
import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import type { CacheService, WriteThroughOptions } from '../src/index.js';
import { startCache, type CacheApp } from './app.js';
import { interleavings, Stepper } from './stepper.js';

/** Its start, the lease, the versions, the beginning and the end of what it writes, the store. */
const stepsOfAWrite = 6;
/** Its start, the read, the lease, the beginning and the end of what it reads, the store. */
const stepsOfALoad = 6;
/** Of all 924 orders each run takes every ninth, another ninth each time. */
const oneOf = 9;

interface Source {
  value: string;
}
type Party = (cache: CacheService, source: Source, stepper: Stepper) => Promise<unknown>;

const writing =
  (value: string, first: WriteThroughOptions['first'] & string): Party =>
  (cache, source, stepper) =>
    cache.writeThrough(
      'flight',
      value,
      async () => {
        await stepper.pause();
        source.value = value;
        await stepper.pause();
      },
      { first },
    );

const loading: Party = (cache, source, stepper) => {
  const load = async () => {
    await stepper.pause();
    const read = source.value;
    await stepper.pause();
    return read;
  };
  // It does not wait for the write: then it would have no steps of its own.
  return cache.getOrSet('flight', load, { waitTimeout: 1 });
};

const parties: [string, Party, number][] = [
  ['a load', loading, stepsOfALoad],
  ['another write', writing('newer', 'store'), stepsOfAWrite],
];

describeOn(standalone, cluster)('every order of the steps of a writeThrough', (redis) => {
  let here: CacheApp;
  let elsewhere: CacheApp;
  let runs = 0;
  let offset = 0;
  beforeAll(async () => {
    here = await startCache(redis.connection);
    elsewhere = await startCache(redis.connection);
  });
  afterAll(async () => {
    await here[Symbol.asyncDispose]();
    await elsewhere[Symbol.asyncDispose]();
  });

  describe.each([
    ['the same process', () => here],
    ['another process', () => elsewhere],
  ])('and, in %s, of', (_, other) => {
    it.each(parties)(
      '%s: what is cached in the end is what the store has, or nothing',
      async (_name, party, steps) => {
        offset += 1;
        for (const [index, order] of interleavings(stepsOfAWrite, steps).entries()) {
          if (index % oneOf !== offset % oneOf) continue;
          runs += 1;
          const first = index % 3 === 0 ? 'cache' : 'store';
          const story = `${order}, ${first} first`;
          const at = ({ cache }: CacheApp) => cache.namespace(`run${runs}`);
          const source = { value: 'old' };
          await at(here).set('other', 'the version is known then, and takes no step');
          await using a = new Stepper(here);
          await using b = new Stepper(other());
          const begin = { A: () => writing('new', first)(at(here), source, a), B: () => party(at(other()), source, b) };
          const steppers = { A: a, B: b };
          const results = new Map<string, Promise<unknown>>();
          for (const who of order) {
            if (who !== 'A' && who !== 'B') continue;
            // Reads of one tick leave together: two that are to be stepped one by one need a tick each.
            await setImmediate();
            if (results.has(who)) await steppers[who].step();
            else results.set(who, (await steppers[who].start(begin[who])).result);
          }
          await setImmediate();
          while ((await a.step()) || (await b.step()));
          await Promise.all(results.values());
          for (const app of [here, elsewhere]) {
            const cached = await at(app).get('flight');
            expect([story, cached ?? source.value]).toEqual([story, source.value]);
            expect([story, await at(app).getOrSet('flight', () => source.value)]).toEqual([story, source.value]);
          }
        }
      },
      120_000,
    );
  });
});
