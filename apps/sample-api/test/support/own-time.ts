/** A stopwatch that stands still while this process does, as on a machine that stalls: a budget can be told from it all the same. */
export interface OwnTime extends Disposable {
  readonly ms: number;
}

export function ownTime(): OwnTime {
  const every = 10;
  let ticks = 0;
  const timer = setInterval(() => (ticks += 1), every);
  return {
    get ms() {
      return ticks * every;
    },
    [Symbol.dispose]: () => {
      clearInterval(timer);
    },
  };
}
