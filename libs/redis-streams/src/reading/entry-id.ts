const largestSequence = '18446744073709551615';

/** The last id that an incomplete one, a moment in ms, stands for; a complete id is itself. */
export function lastIdOf(position: string): string {
  return position.includes('-') ? position : `${position}-${largestSequence}`;
}

/** Which of two complete ids comes first: negative, 0 or positive. Their numbers may take 64 bits. */
export function compareIds(one: string, other: string): number {
  const [oneMs, oneSequence] = parts(one);
  const [otherMs, otherSequence] = parts(other);
  if (oneMs !== otherMs) return oneMs < otherMs ? -1 : 1;
  return oneSequence < otherSequence ? -1 : oneSequence > otherSequence ? 1 : 0;
}

function parts(id: string): [ms: bigint, sequence: bigint] {
  const [ms = '0', sequence = '0'] = id.split('-');
  return [BigInt(ms), BigInt(sequence)];
}
