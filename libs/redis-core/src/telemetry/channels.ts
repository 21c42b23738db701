import { tracingChannel, type TracingChannel } from 'node:diagnostics_channel';

/**
 * What a subscriber of `redstart:operation` is told. Never a key, a value or an address with a password: only names of bounded number,
 * so that they may serve as labels.
 */
export interface OperationContext {
  /** `redis-lock`, `redis-cache` … */
  readonly library: string;
  /** The operation, e.g. `lock.acquire`. */
  readonly operation: string;
  /** The name of the connection. */
  readonly connection: string;
  /** Set when the operation failed. */
  error?: unknown;
}

/** `tracing:redstart:operation:{start,end,asyncStart,asyncEnd,error}` of `node:diagnostics_channel`. */
export const operationChannel: TracingChannel<unknown, OperationContext> = tracingChannel<unknown, OperationContext>(
  'redstart:operation',
);

const { start, end, asyncStart, asyncEnd, error } = operationChannel;

/**
 * Runs `work` and tells the channel of it, but never what it returned: that may be anybody's data.
 * Without a subscriber it costs five comparisons.
 */
export function traceOperation<T>(context: () => OperationContext, work: () => Promise<T>): Promise<T> {
  // `TracingChannel.hasSubscribers` does not exist in every Node version that we support.
  const hasSubscribers =
    start.hasSubscribers ||
    end.hasSubscribers ||
    asyncStart.hasSubscribers ||
    asyncEnd.hasSubscribers ||
    error.hasSubscribers;
  return hasSubscribers ? traced(context(), work) : work();
}

async function traced<T>(context: OperationContext, work: () => Promise<T>): Promise<T> {
  const result: { value?: T } = {};
  await operationChannel.tracePromise(async () => {
    result.value = await work();
  }, context);
  return result.value as T;
}
