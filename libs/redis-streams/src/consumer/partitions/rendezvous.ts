import { murmur3 } from '../../producer/murmur3.js';

/**
 * Which member a partition belongs to: the one whose hash with it is the highest. All members come to the same answer, and when one joins or leaves only its own partitions move.
 *
 * @returns undefined when there are no members
 * @see  rendezvous hashing: https://en.wikipedia.org/wiki/Rendezvous_hashing
 */
export function rendezvousOwner(partition: number, members: readonly string[]): string | undefined {
  let owner: string | undefined;
  let highest = -1;
  for (const member of members) {
    const weight = murmur3(`${partition}/${member}`);
    const tie = weight === highest && owner !== undefined && member < owner;
    if (weight > highest || tie) [owner, highest] = [member, weight];
  }
  return owner;
}
