/** One after the other, of whoever is there when it is asked. */
export function inTurn<T>(all: () => readonly T[]): () => T {
  let turn = 0;
  return () => {
    const list = all();
    const next = list[turn % list.length];
    turn += 1;
    if (next === undefined) throw new RangeError('There is nobody.');
    return next;
  };
}
