const firstMs = 100;
const longestMs = 1_000;

/**
 * How long to wait before attempt `n` + 1: anything up to 100 ms after the first one, doubling up to 1 s. Callers that got in each other's way
 * at once would do so again if they waited equally long.
 */
export function fullJitter(n: number): number {
  return Math.random() * Math.min(longestMs, firstMs * 2 ** Math.min(n - 1, 10));
}
