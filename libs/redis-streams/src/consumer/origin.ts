/** Where an entry of the retry stream comes from. */
export interface Origin {
  /** The id of the original entry. */
  readonly id: string;
  /** How often its handler has failed. */
  readonly failures: number;
  /** The fields of the original entry. */
  readonly fields: readonly Buffer[];
}

/** An entry of the retry stream has `o`, the id of the original entry, and `a`, the failures so far, in front of the original's fields. */
export function originOf(fields: readonly Buffer[]): Origin | undefined {
  const [first, id, second, failures] = fields;
  if (first?.toString() !== 'o' || second?.toString() !== 'a' || id === undefined) return undefined;
  return { id: id.toString(), failures: Number(failures?.toString()) || 0, fields: fields.slice(4) };
}
