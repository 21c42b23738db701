/** Who wants to be read, as far as a plan has to know. */
export interface ReadableDemand {
  readonly cutShort: boolean;
  /** The COUNT of a read for it; 0 while it wants nothing. */
  count(sharers: number): number;
}

export interface ReadablePart<D extends ReadableDemand> {
  readonly demand: D;
}

/** What the next read asks for. */
export interface ReadPlan<P> {
  readonly parts: ReadonlySet<P>;
  /** COUNT: so many of each stream, at most. */
  readonly count: number;
  /** Whether it waits when there is nothing. */
  readonly blocking: boolean;
  /** Whether some were left out that want nothing at the moment. */
  readonly leavesOut: boolean;
}

/** A read for those alone who want more is not worth it for less than so many times as much. */
const worthwhile = 2;

/**
 * Decides what the next read asks for.
 *
 * COUNT holds for each stream of a read, while each consumer has slots and bytes of its own: so a read that waits covers everybody who wants something, with the COUNT that the tightest of them asks for. Whoever it cuts short although
 * he wants a lot more is *caught up* by a read of his own before the next one of all, without waiting, and with a COUNT that suits him: so a consumer of one slot does not keep others down.
 *
 * @param parts those that may be read
 * @param sharers among how many consumers the last reply was divided
 * @param caughtUp whether the last read was of that kind: then it is everybody's turn
 * @returns undefined when nobody wants anything
 */
export function planRead<D extends ReadableDemand, P extends ReadablePart<D>>(
  parts: readonly P[],
  sharers: number,
  caughtUp: boolean,
): ReadPlan<P> | undefined {
  const counts = new Map<D, number>();
  for (const { demand } of parts) if (!counts.has(demand)) counts.set(demand, demand.count(sharers));
  const countOf = ({ demand }: P): number => counts.get(demand) ?? 0;
  const wanting = parts.filter((part) => countOf(part) > 0);
  if (wanting.length === 0) return undefined;
  const leavesOut = wanting.length < parts.length;
  const tightest = Math.min(...wanting.map(countOf));
  const hungry = caughtUp
    ? []
    : wanting.filter((part) => part.demand.cutShort && countOf(part) >= worthwhile * tightest);
  if (hungry.length === 0) return { parts: new Set(wanting), count: tightest, blocking: true, leavesOut };
  return { parts: new Set(hungry), count: Math.min(...hungry.map(countOf)), blocking: false, leavesOut };
}
