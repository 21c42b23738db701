import { murmur3 } from '../../../src/producer/murmur3.js';
import { keysOf, shipments } from './shipments-stream.js';

describe('the keys of a producer of the chaos specs', () => {
  it('leave no partition out, whatever the producer is called', () => {
    const { partitions = 0 } = shipments;
    for (let recruit = 1; recruit <= 1_000; recruit += 1) {
      const keys = keysOf(`m${recruit}`);
      expect(new Set(keys).size).toBe(8);
      expect(new Set(keys.map((key) => murmur3(key) % partitions)).size).toBe(partitions);
    }
  });
});
