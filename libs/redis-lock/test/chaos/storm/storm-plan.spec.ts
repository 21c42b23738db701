import { chaosSeed, seededRandom } from './seed.js';
import { faultsOfServers, faultsOfWorkers, stormPlan } from './storm-plan.js';

const scale = { strikes: 24, places: 4, overMs: 4_000, longestMs: 1_500 };
const planOf = (seed: number, strikes = scale.strikes) => stormPlan(seededRandom(seed), { ...scale, strikes });

/** The choice of faults of the storm, which can be had again by its seed. */
describe('the plan of a storm', () => {
  it('is the same for the same seed, and another one for another', () => {
    expect(planOf(7)).toEqual(planOf(7));
    expect(planOf(8)).not.toEqual(planOf(7));
  });

  it('goes on from where the last one ended, so that a soak of many storms can be had again as well', () => {
    const [random, again] = [seededRandom(7), seededRandom(7)];
    const two = [stormPlan(random, scale), stormPlan(random, scale)];
    expect(two[1]).not.toEqual(two[0]);
    expect([stormPlan(again, scale), stormPlan(again, scale)]).toEqual(two);
  });

  it('leaves out no fault and no place, and never strikes one place twice at a time', () => {
    const plan = planOf(1, 400);
    expect(new Set(plan.map(({ fault }) => fault))).toEqual(new Set([...faultsOfWorkers, ...faultsOfServers]));
    expect(new Set(plan.map(({ place }) => place))).toEqual(new Set([0, 1, 2, 3, 'server']));
    const ofWorkers = plan.filter(({ place }) => place !== 'server');
    for (const [index, { place, atMs, lastsMs }] of ofWorkers.entries()) {
      const next = ofWorkers.slice(index + 1).find((strike) => strike.place === place);
      expect(next?.atMs ?? Infinity).toBeGreaterThanOrEqual(atMs + lastsMs);
    }
  });

  it('is spread over its time', () => {
    const ends = Array.from({ length: 100 }, (_, seed) => planOf(seed).at(-1)?.atMs ?? 0);
    const mean = ends.reduce((sum, end) => sum + end, 0) / ends.length;
    expect(mean).toBeGreaterThan(3_500);
    expect(mean).toBeLessThan(4_500);
  });
});

describe('the seed of a storm', () => {
  it('is the one that is asked for, or any', () => {
    expect(chaosSeed('42')).toBe(42);
    expect(chaosSeed('0')).toBe(0);
    expect(new Set(Array.from({ length: 20 }, () => chaosSeed(''))).size).toBeGreaterThan(1);
  });

  it.each(['x', '-1', '1.5', '4294967296'])('can not be %s', (variable) => {
    expect(() => chaosSeed(variable)).toThrow(/^LOCK_CHAOS_SEED: .*got "/);
  });
});
