/** What makes one consumer the only one that reads a partition for its group. */
export interface Ownership {
  /** The key that says who the owner is. */
  readonly key: string;
  /** The owner's name there. */
  readonly owner: string;
  /** Redis says that it is another's by now. */
  readonly denied: () => void;
}
