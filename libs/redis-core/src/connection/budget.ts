/**
 * Settles like `work`, but no later than `ms` from now: then it rejects with `late()`, and whatever `work` does afterwards is ignored.
 *
 * The timer is ours and covers the whole call. ioredis' `commandTimeout` covers one command, and `socketTimeout` rejects nothing.
 */
export function withinBudget<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(late());
    }, ms);
    work.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
