const firstMs = 100;
const longestMs = 1_000;

/**
 * How long to wait before attempt `n` + 1: anything up to 100 ms after the first one, doubling up to 1 s. Callers that got in each other's way
 * would do so again if they waited equally long.
 *
 * @param atMostMs in place of the second, for what is in less of a hurry
 */
export function fullJitter(n: number, atMostMs = longestMs): number {
  return Math.random() * Math.min(atMostMs, firstMs * 2 ** Math.min(n - 1, 30));
}
