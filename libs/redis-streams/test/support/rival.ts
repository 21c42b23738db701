import { rendezvousOwner } from '../../src/consumer/partitions/rendezvous.js';

/** Among n names there is none that wins once in n + 1 times; most often one of the first few does. */
const mostNames = 10_000_000;

/** A name of a member to whom a partition should belong, instead of to another one. */
export function rivalOf(own: string, partition: number): string {
  for (let n = 0; n < mostNames; n += 1) {
    const name = `rival-${n}`;
    if (rendezvousOwner(partition, [own, name]) === name) return name;
  }
  throw new Error(`No name wins the partition ${partition} over "${own}".`);
}
