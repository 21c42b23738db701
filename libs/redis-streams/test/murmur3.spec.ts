import { Partitioner } from '../src/producer/partitioner.js';
import { murmur3 } from '../src/producer/murmur3.js';

describe('the partition of a message', () => {
  // From the reference implementation (MurmurHash3_x86_32, seed 0).
  it.each([
    ['', 0],
    ['a', 0x3c2569b2],
    ['hello', 0x248bfa47],
    ['hello, world', 0x149bbb7f],
    ['The quick brown fox jumps over the lazy dog', 0x2e4ff723],
  ])('hashes %j as everybody else does', (text, hash) => {
    expect(murmur3(text)).toBe(hash);
  });

  it('is the same for one key in every process, and for one message id without a key', () => {
    const [one, another] = [new Partitioner(8), new Partitioner(8)];
    for (let n = 0; n < 100; n += 1) {
      expect(one.of(`k-${n}`, 'x')).toBe(another.of(`k-${n}`, 'y'));
      expect(one.of('', `m-${n}`)).toBe(another.of('', `m-${n}`));
    }
  });

  it('spreads keys evenly, and messages without one in turn', () => {
    const partitioner = new Partitioner(8);
    const byKey = Array.from({ length: 8 }, () => 0);
    const inTurn = Array.from({ length: 8 }, () => 0);
    for (let n = 0; n < 8_000; n += 1) {
      byKey[partitioner.of(`customer-${n}`, '')] = (byKey[partitioner.of(`customer-${n}`, '')] ?? 0) + 1;
      const next = partitioner.of('', '');
      inTurn[next] = (inTurn[next] ?? 0) + 1;
    }
    expect(Math.min(...byKey)).toBeGreaterThan(900);
    expect(Math.max(...byKey)).toBeLessThan(1_100);
    expect(new Set(inTurn)).toEqual(new Set([1_000]));
  });
});
