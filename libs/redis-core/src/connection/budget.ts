/** The longest wait that a timer of Node can do. */
const longestMs = 2 ** 31 - 1;

/**
 * Settles like `work`, but no later than `ms` from now: then it rejects with `late()`, and whatever `work` does afterwards is ignored.
 *
 * The timer is ours and covers the whole call. ioredis' `commandTimeout` covers one command, and `socketTimeout` rejects nothing. After an
 * event loop that stood still, what has arrived meanwhile is read before anything counts as late: a pause of ours is no outage of Redis.
 *
 * @param ms over 24.8 days, and infinity, count as 24.8 days
 * @param toError what becomes of an error of `work`, or of `late()`
 */
export function withinBudget<T>(
  work: Promise<T>,
  ms: number,
  late: () => Error,
  toError: (error: unknown) => unknown = (error) => error,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let overdue: NodeJS.Immediate | undefined;
    const timer = setTimeout(
      () => {
        // Timers run before sockets are read; an immediate runs after.
        overdue = setImmediate(() => {
          reject(toError(late()));
        });
      },
      Math.min(ms, longestMs),
    );
    const settle = () => {
      clearTimeout(timer);
      if (overdue !== undefined) clearImmediate(overdue);
    };
    work.then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(toError(error));
      },
    );
  });
}
