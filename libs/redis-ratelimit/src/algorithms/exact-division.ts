/** `floor(a / b)` for whole a >= 0 and b > 0 up to 2^53: the plain quotient may be rounded up to the next integer. */
export function floorDiv(a: number, b: number): number {
  return (a - (a % b)) / b;
}

/** `ceil(a / b)` likewise. */
export function ceilDiv(a: number, b: number): number {
  return floorDiv(a, b) + (a % b > 0 ? 1 : 0);
}
