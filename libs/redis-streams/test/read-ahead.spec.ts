import { ReadAhead } from '../src/consumer/read-ahead.js';

describe('how many entries a consumer takes', () => {
  const counts = (here: number) => ({ here, settling: 0, aside: 0 });
  /** Of one that does nothing else: how many it has in the end when it asks until it wants no more. */
  const takes = (ahead: ReadAhead) => {
    let here = 0;
    for (let more = ahead.wanted(counts(0)); more > 0; more = ahead.wanted(counts(here))) here += more;
    return here;
  };

  it('is as many as its slots have room for, and prefetch', () => {
    expect(takes(new ReadAhead(10, 10, 20))).toBe(30);
    expect(takes(new ReadAhead(4, 80, 8))).toBe(88);
    expect(takes(new ReadAhead(1, 1, 0))).toBe(1);
  });

  it('is one for each slot when some have waited in vain or could not be kept, and grows with what ends since, up to where it was', () => {
    const ahead = new ReadAhead(10, 40, 20);
    ahead.suspend();
    expect([takes(ahead), ahead.room]).toEqual([10, 10]);
    ahead.restore(1);
    expect([takes(ahead), ahead.room]).toEqual([11, 11]);
    ahead.restore(34);
    expect([takes(ahead), ahead.room]).toEqual([45, 40]);
    ahead.restore(1_000);
    expect([takes(ahead), ahead.room]).toEqual([60, 40]);
    ahead.suspend();
    expect(takes(ahead)).toBe(10);
  });

  it('may always be more while not very many wait for Redis to know that they have ended', () => {
    const ahead = new ReadAhead(1, 1, 2);
    ahead.suspend();
    const wanted = (settling: number) => ahead.wanted({ here: 0, settling, aside: 0 });
    expect([wanted(24), wanted(25)]).toEqual([1, 0]);
  });
});
