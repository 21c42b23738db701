import { expect } from '@jest/globals';
import { createCodec, ManualClock } from '@redstart/redis-core';
import fc from 'fast-check';
import { copyValue } from '../../src/near/copy-value.js';
import { NearTier, type NearTierOptions } from '../../src/near/near-tier.js';

const codec = createCodec();
/** Jest takes two invalid dates for different ones. */
expect.addEqualityTesters([
  (a, b) => (a instanceof Date && b instanceof Date ? Object.is(a.getTime(), b.getTime()) : undefined),
]);

function nearTier(options: Partial<NearTierOptions> = {}) {
  const clock = new ManualClock(1_000);
  const trust = { trustedUntil: Infinity };
  const all = { maxEntries: 100, maxBytes: 1_000_000, ttlMs: 60_000, share: 'copy', ...options } as const;
  const tier = new NearTier<string>(all, clock, trust);
  /** Reads a value from Redis, as it were, and gives what the reader got. */
  const read = (key: string, value: unknown, { freshForMs = 60_000, bytes = 100, goBy = [] as string[] } = {}) => {
    const fetched = codec.decode(codec.encode(value));
    const fetch = tier.fetch([key, ...goBy]);
    fetch?.commit(key, { value: fetched, about: '', bytes, freshForMs });
    fetch?.end();
    return fetched;
  };
  const get = (key: string) => {
    const kept = tier.find(key);
    return kept && { value: tier.valueOf(kept) };
  };
  return { clock, trust, tier, read, get };
}

describe('what the near tier keeps', () => {
  it('is what was used last, within the number of entries', () => {
    const { read, get, tier } = nearTier({ maxEntries: 3 });
    for (const key of ['a', 'b', 'c']) read(key, key);
    get('a');
    read('d', 'd');
    expect(['a', 'b', 'c', 'd'].map((key) => get(key)?.value)).toEqual(['a', undefined, 'c', 'd']);
    expect(tier.size).toMatchObject({ entries: 3, facts: 3 });
  });

  it.each<[what: string, value: unknown, json: number, heap: number]>([
    // By measurement: what a copy of each takes of the heap of Node 20.
    ['empty objects', Array.from({ length: 2_000 }, () => ({})), 6_000, 120_000],
    ['empty arrays', Array.from({ length: 2_000 }, () => []), 6_000, 60_000],
    ['small objects', Array.from({ length: 500 }, (_, a) => ({ a, b: a })), 9_000, 20_000],
    ['a table of many names', Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, 1])), 4_500, 32_000],
    ['sets', Array.from({ length: 200 }, () => new Set()), 3_000, 32_000],
    ['a map', new Map(Array.from({ length: 500 }, (_, i) => [`k${i}`, i])), 6_500, 30_000],
    ['dates', Array.from({ length: 500 }, (_, i) => new Date(i)), 15_000, 58_000],
    ['short binary data', Array.from({ length: 200 }, () => Buffer.from('abc')), 4_000, 23_000],
  ])('reckons what %s take of the heap, not of JSON', (_, value, json, heap) => {
    const { read, tier } = nearTier({ maxBytes: 8_000_000 });
    read('flight', value, { bytes: json });
    expect(tier.size.bytes).toBeGreaterThan(heap);
    expect(tier.size.bytes).toBeLessThan(5 * heap);
  });

  it('takes no more than its bytes, of which no entry gets more than an eighth', () => {
    const { read, get, tier } = nearTier({ maxBytes: 80_000 });
    read('large', 'x', { bytes: 5_000 });
    expect(get('large')).toBeUndefined();
    for (let i = 0; i < 100; i += 1) read(`flight-${i}`, i, { bytes: 4_000 });
    expect(tier.size.bytes).toBeLessThanOrEqual(80_000);
    expect(tier.size.entries).toBe(8);
    expect(tier.size.facts).toBe(8);
    expect(get('flight-99')).toEqual({ value: 99 });
  });

  it('drops what a larger value of the same key leaves behind', () => {
    const { read, get, tier } = nearTier({ maxBytes: 80_000 });
    read('flight', 'old');
    read('flight', 'new', { bytes: 5_000 });
    expect(get('flight')).toBeUndefined();
    expect(tier.size).toMatchObject({ entries: 0, facts: 0 });
  });

  it('ends with its own ttl, or with that of the entry when less was left', () => {
    const { read, get, clock } = nearTier({ ttlMs: 1_000 });
    read('long', 1, { freshForMs: 5_000 });
    read('short', 1, { freshForMs: 500 });
    read('over', 1, { freshForMs: 0 });
    expect(get('over')).toBeUndefined();
    clock.advance(499);
    expect(get('short')).toBeDefined();
    clock.advance(1);
    expect(get('short')).toBeUndefined();
    clock.advance(499);
    expect(get('long')).toBeDefined();
    clock.advance(1);
    expect(get('long')).toBeUndefined();
  });

  it('may be null, undefined, false, 0 and an empty text', () => {
    const { read, get } = nearTier();
    const values = [null, undefined, false, 0, '', NaN, -0];
    values.forEach((value, index) => read(`${index}`, value));
    expect(values.map((_, index) => get(`${index}`))).toStrictEqual(values.map((value) => ({ value })));
  });

  it('is not served, and not added to, while hits are not trusted; and is again when they are', () => {
    const { read, get, clock, trust, tier } = nearTier();
    read('flight', 1);
    trust.trustedUntil = clock.now() + 10;
    clock.advance(9);
    expect(get('flight')).toBeDefined();
    clock.advance(1);
    expect(get('flight')).toBeUndefined();
    expect(tier.fetch(['seat'])).toBeUndefined();
    trust.trustedUntil = clock.now() + 10;
    expect(get('flight')).toBeDefined();
  });
});

describe('a value out of the near tier', () => {
  const samples: unknown[] = [
    { a: [1, { b: 'x' }], c: null, constructor: 'mine', undef: undefined },
    [
      new Date(5),
      new Map([[{ k: 1 }, new Set([1n])]]),
      Buffer.from('abc'),
      new Float64Array([1.5]),
      new ArrayBuffer(3),
    ],
    new DataView(new ArrayBuffer(2)),
    'text',
  ];

  it('is a copy for each caller, and what the first reader does to his shows in none', () => {
    const { read, get } = nearTier();
    const value = { seats: [1, 2], of: { plane: new Map([['a', new Date(0)]]) } };
    const first = read('flight', value) as typeof value;
    first.seats.push(3);
    first.of.plane.clear();
    const second = get('flight')?.value as typeof value;
    expect(second).toStrictEqual(value);
    second.of.plane.get('a')?.setTime(9);
    second.seats.length = 0;
    expect(get('flight')).toStrictEqual({ value });
  });

  it.each(samples)('has the shape that Redis gives it: %p', (value) => {
    const { read, get } = nearTier();
    const fromRedis = read('flight', value);
    const near = get('flight')?.value;
    expect(near).toStrictEqual(fromRedis);
    if (typeof near === 'object') expect(near).not.toBe(fromRedis);
  });

  it('has that shape whatever it is', () => {
    // Jest tells objects apart by their `constructor`, also by one that is a field of theirs.
    const key = fc.string().filter((name) => name !== 'constructor');
    const kinds = { withDate: true, withMap: true, withSet: true, withBigInt: true, withTypedArray: true };
    const value = fc.anything({ key, ...kinds });
    fc.assert(
      fc.property(value, (original) => {
        let bytes: Buffer;
        try {
          bytes = codec.encode(original);
        } catch {
          return; // Nothing that is stored.
        }
        expect(copyValue(codec.decode(bytes))).toStrictEqual(codec.decode(bytes));
      }),
      { numRuns: 500, examples: [[{ '': new Date(NaN) }]] },
    );
  });

  it('is the same frozen one for all when it is shared, from Redis, too', () => {
    const { read, get, tier } = nearTier({ share: 'frozen' });
    const first = read('flight', { seats: [{ row: 1 }] });
    const value = get('flight')?.value as { seats: { row: number }[] };
    expect(value).toBe(first);
    expect(() => value.seats.push({ row: 2 })).toThrow(TypeError);
    expect(() => Object.assign(value.seats[0] ?? {}, { row: 2 })).toThrow(TypeError);
    expect(Object.isFrozen(tier.handOut({ a: [] }))).toBe(true);
  });

  it('is a copy after all when it holds what can’t be frozen', () => {
    const { read, get } = nearTier({ share: 'frozen' });
    const first = read('flight', { at: [new Date(0)], seats: [] }) as { at: Date[]; seats: number[] };
    first.at[0]?.setTime(9);
    first.seats.push(1);
    expect(get('flight')).toStrictEqual({ value: { at: [new Date(0)], seats: [] } });
    expect(get('flight')?.value).not.toBe(get('flight')?.value);
  });
});

describe('a change', () => {
  it('ends what it is about, and all that goes by it, whatever the number', () => {
    const { read, get, tier } = nearTier();
    for (let i = 0; i < 50; i += 1) read(`flight-${i}`, i, { goBy: ['version', i % 2 === 0 ? 'even' : 'odd'] });
    tier.changed('flight-1');
    expect([0, 1, 2].map((i) => get(`flight-${i}`) !== undefined)).toEqual([true, false, true]);
    tier.changed('even');
    expect([0, 2, 3].map((i) => get(`flight-${i}`) !== undefined)).toEqual([false, false, true]);
    read('flight-0', 'again', { goBy: ['version', 'even'] });
    expect(get('flight-0')).toEqual({ value: 'again' });
    tier.changed('version');
    expect(Array.from({ length: 50 }, (_, i) => get(`flight-${i}`)).filter(Boolean)).toEqual([]);
    expect(tier.size).toEqual({ entries: 0, bytes: 0, facts: 0 });
  });

  it('of anything ends everything', () => {
    const { read, get, tier } = nearTier();
    read('flight', 1, { goBy: ['version'] });
    const open = tier.fetch(['seat', 'version']);
    tier.forget();
    open?.commit('seat', { value: 1, about: '', bytes: 1, freshForMs: 1_000 });
    open?.end();
    expect(get('flight')).toBeUndefined();
    expect(get('seat')).toBeUndefined();
    expect(tier.size).toEqual({ entries: 0, bytes: 0, facts: 0 });
  });

  it('that nobody cares about leaves no trace', () => {
    const { tier } = nearTier();
    for (let i = 0; i < 1_000; i += 1) tier.changed(`flight-${i}`);
    const fetch = tier.fetch(['flight', 'version']);
    fetch?.goBy(['tag']);
    expect(tier.size.facts).toBe(3);
    fetch?.end();
    expect(tier.size.facts).toBe(0);
  });
});

/**
 * Two readers and a writer of one value and its tag, step by step. A reader takes its ticket, is answered by Redis, and has the answer; the writer changes
 * Redis, and its word arrives some time later. Every order of the steps in which each actor keeps its own is tried.
 */
describe('a read and a change that cross', () => {
  type Step = 'open' | 'serve' | 'arrive' | 'write' | 'hear';
  const reader: Step[] = ['open', 'serve', 'arrive'];
  const writer: Step[] = ['write', 'hear'];

  function interleavings(lanes: readonly (readonly Step[])[]): [number, Step][][] {
    if (lanes.every((lane) => lane.length === 0)) return [[]];
    return lanes.flatMap(([step, ...rest], index) =>
      step === undefined
        ? []
        : interleavings(lanes.map((lane, at) => (at === index ? rest : lane))).map((tail): [number, Step][] => [
            [index, step],
            ...tail,
          ]),
    );
  }

  it.each(['flight', 'tag'])('never leave what is older than the word that was heard of the %s', (changedKey) => {
    const orders = interleavings([reader, reader, writer, writer]);
    expect(orders.length).toBe((10 * 9 * 8 * 7 * 6 * 5 * 4 * 3 * 2) / (6 * 6 * 2 * 2));
    let hits = 0;
    const stale: string[] = [];
    for (const order of orders) {
      const { tier, get } = nearTier();
      const open = new Map<number, ReturnType<typeof tier.fetch>>();
      const answers = new Map<number, number>();
      let inRedis = 0;
      let written = 0;
      const words: number[] = [];
      let heard = 0;
      for (const [actor, step] of order) {
        if (step === 'open') open.set(actor, tier.fetch(['flight', 'tag']));
        else if (step === 'serve') answers.set(actor, inRedis);
        else if (step === 'arrive') {
          open.get(actor)?.commit('flight', { value: answers.get(actor), about: '', bytes: 1, freshForMs: 1_000 });
          open.get(actor)?.end();
        } else if (step === 'write') {
          inRedis = written += 1;
          words.push(inRedis);
        } else {
          heard = words.shift() ?? heard; // Word is given in the order of the writes.
          tier.changed(changedKey);
        }
        const near = get('flight');
        if (near === undefined) continue;
        hits += 1;
        if (Number(near.value) < heard) stale.push(order.map(([who, what]) => `${who} ${what}`).join());
      }
      if (tier.size.facts > 2) stale.push('a leak');
    }
    expect(stale).toEqual([]);
    expect(hits).toBeGreaterThan(orders.length);
  });
});
