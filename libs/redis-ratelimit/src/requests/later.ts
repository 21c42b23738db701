/** Whether a value is still to come. What is there already is not awaited: each await is a trip through the queue of microtasks, and most calls need none. */
export function isLater<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
