import { AsyncLocalStorage } from 'node:async_hooks';
import type { Slot } from './slot.js';

const current = new AsyncLocalStorage<Slot>();

/**
 * The slot that the handler or method around holds, from `@RateLimit` or `@LimitCalls` with a concurrency limit, in whatever it calls as well; `undefined` where it holds none. Its
 * `signal` says when to stop.
 *
 * It is given back when the call ends. Of several the one that was taken last.
 *
 * @example  await report.render({ signal: currentSlot()?.signal });
 */
export function currentSlot(): Slot | undefined {
  return current.getStore();
}

/** Runs what is to know the slot. */
export function holding<T>(slot: Slot, work: () => T): T {
  return current.run(slot, work);
}
