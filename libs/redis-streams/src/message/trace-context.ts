import { createRequire } from 'node:module';
import type { MessageHeaders } from './envelope.js';

/** Headers that are the same for every message that is published at this moment. */
export type HeaderSource = () => MessageHeaders | undefined;

interface SpanContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags: number;
  readonly traceState?: { serialize(): string };
}

/** What we use of `@opentelemetry/api`. */
export interface TraceApi {
  readonly context: { active(): unknown };
  readonly trace: { getSpanContext(context: unknown): SpanContext | undefined };
}

const noSpan = /^0+$/;

/**
 * Tells the span that is active, as the headers of W3C Trace Context: `traceparent`, and `tracestate` where there is one.
 *
 * @returns `undefined` where `@opentelemetry/api` is not installed
 * @see  https://www.w3.org/TR/trace-context/
 */
export function traceContext(api: TraceApi | undefined = openTelemetry()): HeaderSource | undefined {
  if (api === undefined) return undefined;
  return () => {
    const span = api.trace.getSpanContext(api.context.active());
    if (span === undefined || noSpan.test(span.traceId) || noSpan.test(span.spanId)) return undefined;
    const flags = span.traceFlags.toString(16).padStart(2, '0');
    const traceparent = `00-${span.traceId}-${span.spanId}-${flags}`;
    const tracestate = span.traceState?.serialize() ?? '';
    return tracestate === '' ? { traceparent } : { traceparent, tracestate };
  };
}

/** An optional peer: whoever traces has it, and nobody else needs it. */
function openTelemetry(): TraceApi | undefined {
  try {
    const require = createRequire(import.meta.url);
    const api: unknown = require('@opentelemetry/api');
    return isTraceApi(api) ? api : undefined;
  } catch {
    // Not installed.
    return undefined;
  }
}

function isTraceApi(api: unknown): api is TraceApi {
  return typeof api === 'object' && api !== null && 'trace' in api && 'context' in api;
}
