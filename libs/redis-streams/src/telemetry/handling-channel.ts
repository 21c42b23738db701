import { tracingChannel, type TracingChannel } from 'node:diagnostics_channel';
import type { Invoke } from '../consumer/handler-factory.js';
import type { BatchContext } from '../consumer/stream-batch.js';
import type { StreamContext } from '../consumer/stream-context.js';

/**
 * What a subscriber of `redstart:stream.handle` is told of one run of a handler. `traceparent` and `tracestate` are what the publisher sent, to link the span of the run to the publisher's:
 * they are no labels.
 */
export interface HandlingContext {
  readonly stream: string;
  readonly group: string;
  /** How many messages it is given: more than 1 for a batch handler. */
  readonly size: number;
  /** The type of the event, which a handler is declared for; `undefined` for a batch. */
  readonly type: string | undefined;
  /** 1 for the first run; `undefined` for a batch. */
  readonly attempt: number | undefined;
  /** W3C Trace Context of the publisher; `undefined` when it did not trace, and for a batch. */
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
  /** Set when the run failed. */
  error?: unknown;
}

/** `tracing:redstart:stream.handle:{start,end,asyncStart,asyncEnd,error}` of `node:diagnostics_channel`: one run of a handler. */
export const handlingChannel: TracingChannel<unknown, HandlingContext> = tracingChannel<unknown, HandlingContext>(
  'redstart:stream.handle',
);

const channels = [
  handlingChannel.start,
  handlingChannel.end,
  handlingChannel.asyncStart,
  handlingChannel.asyncEnd,
  handlingChannel.error,
];

/** A handler of which the channel is told, but never what it is given or returns. Without a subscriber that costs five comparisons a run. */
export function traced(invoke: Invoke): Invoke {
  return (payload, ctx) =>
    // `TracingChannel.hasSubscribers` does not exist in every Node version that we support.
    channels.some((channel) => channel.hasSubscribers)
      ? trace(contextOf(payload, ctx), () => invoke(payload, ctx))
      : invoke(payload, ctx);
}

async function trace(context: HandlingContext, run: () => Promise<unknown>): Promise<unknown> {
  const outcome: { result?: unknown } = {};
  await handlingChannel.tracePromise(async () => {
    outcome.result = await run();
  }, context);
  return outcome.result;
}

function contextOf(payload: unknown, ctx: object): HandlingContext {
  if (isBatch(ctx)) {
    const size = Array.isArray(payload) ? payload.length : 1;
    const none = { type: undefined, attempt: undefined, traceparent: undefined, tracestate: undefined };
    return { stream: ctx.stream, group: ctx.group, size, ...none };
  }
  const { stream, group, type, attempt, headers } = ctx as StreamContext;
  const { traceparent, tracestate } = headers;
  return { stream, group, size: 1, type, attempt, traceparent, tracestate };
}

function isBatch(ctx: object): ctx is BatchContext {
  return !('messageId' in ctx);
}
