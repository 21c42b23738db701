import type { ResolvedLoadOptions } from '../load/load.options.js';
import type { TagKey } from '../keys.js';
import type { LoadContext } from '../load/load-context.js';
import type { ReadRequest } from '../store/reader.js';
import type { Flight } from './flight.js';

/** What is to be loaded, how, and for how long it is good. */
export interface LoadRequest extends ReadRequest {
  readonly options: ResolvedLoadOptions;
  readonly sliding: boolean;
  /** The loader: returns its value, or a promise of it. */
  readonly load: (context: LoadContext, flight: Flight) => unknown;
  readonly unless: (value: unknown) => boolean;
  /** Tags that the value itself has, where it may have some. */
  readonly tagsOf: ((value: unknown) => readonly TagKey[]) | undefined;
  /** Says of a stale value whether it may be served for want of another. Without it, as `options` say. */
  readonly takesStale?: ((stale: unknown) => boolean) | undefined;
  /** Hears that no loader is to be run for now: the value is there, or another process loads it. For a batch that waits for nobody. */
  readonly onPause?: (() => void) | undefined;
}

/** Who wants it. */
export interface Caller {
  /** When it asked, on the clock of this process. */
  readonly since: number;
  readonly signal?: AbortSignal | undefined;
}

/** Whether a stale value may be served for want of another, as far as it and its time are concerned. */
export function isTaken({ takesStale }: LoadRequest, stale: unknown, forMs: number): boolean {
  return forMs > 0 && takesStale?.(stale) !== false;
}
