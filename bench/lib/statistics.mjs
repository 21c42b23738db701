/** The value below which the share `q` of the list lies. */
export function quantile(list, q) {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

export const median = (list) => quantile(list, 0.5);

/**
 * Compares one figure per round with its bar.
 *
 * A bar `atLeast` is met by a median at or above it with a lower quartile above 0.95 of it; a bar `atMost` is its mirror image. Medians forgive the slices in which
 * another program had the processor; the quartile keeps a lucky half of the rounds from deciding.
 *
 * @param {number[]} samples
 * @param {{ atLeast: number } | { atMost: number } | undefined} bar without one the row is printed and judged by nobody
 * @returns {{ median: number, lower: number, upper: number, passed: boolean | undefined }}
 */
export function judge(samples, bar) {
  const [lower, middle, upper] = [0.25, 0.5, 0.75].map((q) => quantile(samples, q));
  return { median: middle, lower, upper, passed: bar && meets(bar, { lower, middle, upper }) };
}

function meets({ atLeast, atMost }, { lower, middle, upper }) {
  return atLeast === undefined
    ? middle <= atMost && upper * 0.95 <= atMost
    : middle >= atLeast && lower > atLeast * 0.95;
}
