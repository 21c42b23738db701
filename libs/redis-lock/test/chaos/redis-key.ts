/** Where Redis has the lock of this name. */
export function redisKey(key: string): string {
  return `shop:lock:{${key}}`;
}
