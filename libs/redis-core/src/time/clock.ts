import { quote } from '../options/quote.js';
import { OptionsError } from '../redis.errors.js';

/** Calls a timer off. Does nothing once it has run, or the second time. */
export type Cancel = () => void;

/** How a timer behaves; see {@link Clock.after}. */
export interface TimerOptions {
  /** Lets the process exit while the timer is pending. For background work only. @default false */
  readonly unref?: boolean;
}

/**
 * Time as this process sees it: for deadlines, periods and waits, never to be compared with another host's.
 *
 * {@link systemClock} is the real one; {@link ManualClock} is moved by a test.
 */
export interface Clock {
  /** Milliseconds since an arbitrary start, possibly with a fraction. Never goes back, whatever happens to the date. */
  now(): number;
  /**
   * Runs something once, later.
   *
   * @param ms how long to wait at least; a past moment (0 or less) means as soon as possible, `Infinity` never
   * @param run is never called before `now()` has moved on by `ms`, and never synchronously
   * @throws OptionsError when `ms` is `NaN`
   */
  after(ms: number, run: () => void, options?: TimerOptions): Cancel;
}

/** Node's timers fire at once for anything longer (24.8 days). */
const longestTimerMs = 2 ** 31 - 1;

/** The real clock: `performance.now()` and `setTimeout`, also for waits beyond 24.8 days. */
export const systemClock: Clock = Object.freeze({
  now: () => performance.now(),

  after(ms: number, run: () => void, { unref = false }: TimerOptions = {}): Cancel {
    assertDelay(ms);
    if (ms === Infinity) return () => undefined;
    const due = performance.now() + ms;
    let timer = arm();

    function arm(): NodeJS.Timeout {
      const leftMs = Math.max(0, Math.ceil(due - performance.now()));
      const next = setTimeout(fire, Math.min(leftMs, longestTimerMs));
      return unref ? next.unref() : next;
    }

    function fire(): void {
      // Node may fire a fraction of a millisecond early, and long waits come in several legs.
      if (performance.now() < due) timer = arm();
      else run();
    }

    return () => {
      clearTimeout(timer);
    };
  },
});

/** Refuses a delay that no clock could keep. */
export function assertDelay(ms: number): void {
  if (typeof ms !== 'number' || Number.isNaN(ms)) {
    throw new OptionsError('Clock.after(ms)', `${quote(ms)} is not a number of milliseconds.`);
  }
}
