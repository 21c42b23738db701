import { cluster, describeOn, standalone } from '@redstart/redis-testing';
import type { CacheService } from '../src/index.js';
import { startCache, type CacheApp } from './app.js';
import { nearTiersHaveHeard } from './near-barrier.js';
import { interleavings, Stepper } from './stepper.js';

/** The steps of a load: its read, its lease, the version of a new tag, what the loader reads, its end, the store. */
const stepsOfALoad = 6;
/** The steps of a change: the source, its invalidation, and callers who come after that. */
const stepsOfAChange = 3;

describeOn(standalone, cluster)('every order of the steps of a load and of an invalidation', (redis) => {
  let here: CacheApp;
  let elsewhere: CacheApp;
  let runs = 0;
  beforeAll(async () => {
    here = await startCache(redis.connection);
    elsewhere = await startCache(redis.connection);
  });
  afterAll(async () => {
    await here[Symbol.asyncDispose]();
    await elsewhere[Symbol.asyncDispose]();
  });
  // Redis has been emptied behind their backs.
  beforeEach(() => nearTiersHaveHeard(redis.client()));

  /** What there is before: with a version that is known, a load has a step less. */
  const variants: [string, (cache: CacheService, tag: string) => Promise<unknown>][] = [
    ['a version', (cache, tag) => cache.set('other', 1, { tags: [tag] })],
    ['nothing', () => Promise.resolve()],
  ];
  const changes: [string, (cache: CacheService, tag: string) => Promise<unknown>][] = [
    ['delete', (cache) => cache.delete('flight')],
    ['set', (cache, tag) => cache.set('flight', 'new', { tags: [tag] })],
    ['invalidateTags', (cache, tag) => cache.invalidateTags(tag)],
    ['clear', (cache) => cache.clear()],
    ['markStale', (cache) => cache.markStale('flight')],
    ['markTagsStale', (cache, tag) => cache.markTagsStale(tag)],
    ['deleteByPrefix', (cache) => cache.deleteByPrefix('fli')],
  ];

  describe.each([
    ['the loading process', () => here],
    ['another process', () => elsewhere],
  ])('with an invalidation in %s', (_, changing) => {
    it.each(changes)(
      '%s always wins',
      async (_name, change) => {
        const orders = interleavings(stepsOfALoad, stepsOfAChange);
        expect(orders).toHaveLength(84);
        for (const order of orders) {
          for (const [known, before] of variants.slice(redis.topology === 'cluster' ? 1 : 0)) {
            runs += 1;
            const tag = `tag ${runs}`;
            const name = `run${runs}`;
            const at = ({ cache }: CacheApp) => cache.namespace(name);
            const source = { value: 'old' };
            await before(at(changing()), tag);
            await using stepper = new Stepper(here);
            const late: Promise<string>[] = [];
            const askNow = (app: CacheApp) => at(app).getOrSet('flight', () => source.value, { tags: [tag] });
            const steps = [
              () => {
                source.value = 'new';
                return Promise.resolve();
              },
              () => change(at(changing()), tag),
              () => {
                late.push(askNow(here), askNow(elsewhere));
                return Promise.resolve();
              },
            ];
            const story = `${order}, ${known} known`;
            let invalidatedFirst = false;
            let call: { readonly result: Promise<string> } | undefined;
            const load = async () => {
              await stepper.pause();
              const read = source.value;
              await stepper.pause();
              return read;
            };
            for (const who of order) {
              if (who === 'B') await steps.shift()?.();
              else if (call !== undefined) await stepper.step();
              else {
                invalidatedFirst = steps.length < 2;
                call = await stepper.start(() => at(here).getOrSet('flight', load, { tags: [tag] }));
              }
            }
            while (await stepper.step());
            const got = await call?.result;
            const values = { story, got: invalidatedFirst ? got : 'new', late: await Promise.all(late) };
            expect(values).toEqual({ story, got: 'new', late: ['new', 'new'] });
            for (const app of [here, elsewhere]) {
              expect([story, await at(app).get('flight')]).not.toContain('old');
              expect([story, await askNow(app)]).toEqual([story, 'new']);
            }
          }
        }
      },
      120_000,
    );
  });
});
