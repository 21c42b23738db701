import { UnrecoverableError } from '@redstart/redis-streams';
import fc from 'fast-check';
import { writeInParts } from '../../src/write-behind/write-in-parts.js';

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('writing in parts', () => {
  it('takes one call where nothing fails, and none for nothing', async () => {
    const calls: number[] = [];
    const write = (some: readonly number[]) => Promise.resolve(void calls.push(some.length));
    expect([...(await writeInParts(numbers(100), write))]).toEqual([]);
    await writeInParts([], write);
    expect(calls).toEqual([100]);
  });

  it('writes all but a single value that is refused, wherever it stands', async () => {
    for (const bad of numbers(100)) {
      const written = new Set<number>();
      let calls = 0;
      const failed = await writeInParts(numbers(100), async (some) => {
        calls += 1;
        if (some.includes(bad)) throw new Error('refused');
        for (const one of some) written.add(one);
        return Promise.resolve();
      });
      expect([...failed.keys()]).toEqual([bad]);
      expect(written.size).toBe(99);
      expect(calls).toBeLessThanOrEqual(16);
    }
  });

  it('leaves a store alone that seems to be down', async () => {
    const error = new Error('down');
    let calls = 0;
    const failed = await writeInParts(numbers(1_000), () => {
      calls += 1;
      return Promise.reject(error);
    });
    expect(failed.size).toBe(1_000);
    expect(new Set(failed.values())).toEqual(new Set([error]));
    expect(calls).toBeLessThanOrEqual(12);
  });

  it('gives up nothing that was not tried alone, though what it was tried with will never be taken', async () => {
    const calls: string[] = [];
    const failed = await writeInParts(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'], (some) => {
      calls.push(some.join(''));
      if (some.includes('h')) return Promise.reject(new UnrecoverableError('refused'));
      if (some.includes('e') || some.includes('f')) return Promise.reject(new Error('in a moment'));
      return Promise.resolve();
    });
    expect(calls).toEqual(['abcdefgh', 'abcd', 'efgh', 'ef', 'e', 'f', 'gh']);
    expect([...failed.keys()].toSorted()).toEqual(['e', 'f', 'g', 'h']);
    for (const error of failed.values()) expect(error).not.toBeInstanceOf(UnrecoverableError);
    expect(failed.get('g')).toMatchObject({ cause: { message: 'refused' } });
  });

  it('finds every value that will never be taken, however many there are', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 64 }), fc.uniqueArray(fc.nat(63)), async (count, refused) => {
        const bad = refused.filter((one) => one < count);
        const written = new Set<number>();
        const failed = await writeInParts(numbers(count), async (some) => {
          if (some.some((one) => bad.includes(one))) throw new UnrecoverableError('refused');
          for (const one of some) written.add(one);
          return Promise.resolve();
        });
        // None is both, or neither.
        expect([...failed.keys(), ...written].toSorted((a, b) => a - b)).toEqual(numbers(count));
        for (const one of bad) expect(failed.has(one)).toBe(true);
        if (bad.length <= 1) expect([...failed.keys()]).toEqual(bad);
      }),
    );
  });
});
