import { hashSlot, InvalidKeyError } from '@redstart/redis-core';

/**
 * Where the highest fencing token is kept that was seen for the data at these keys: beside the first of them, so that all are one Cluster slot, and one
 * prefix of an ACL.
 *
 * STRING  shop:report:{42} -> shop:report:{42}:fence, PX = fenceTtl of the script
 *
 * @throws InvalidKeyError without a common hash tag: they would be on different nodes
 */
export function fenceKey([resource = '', ...others]: readonly string[]): string {
  const key = `${resource}:fence`;
  const slot = hashSlot(key);
  const stray = [resource, ...others].find((each) => hashSlot(each) !== slot);
  if (stray === undefined) return key;
  throw new InvalidKeyError(
    `Fenced keys need a common hash tag, since the fencing token is kept beside them: "shop:report:{42}", not "shop:report:42". Got ${JSON.stringify(stray.slice(0, 60))}.`,
  );
}
