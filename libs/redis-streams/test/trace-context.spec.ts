import { traceContext, type TraceApi } from '../src/message/trace-context.js';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';

/** What `@opentelemetry/api` answers while this span is active. */
function tracing(span: ReturnType<TraceApi['trace']['getSpanContext']>): TraceApi {
  const active = {};
  return {
    context: { active: () => active },
    trace: { getSpanContext: (context) => (context === active ? span : undefined) },
  };
}

describe('the trace of a message', () => {
  it('is the active span, as W3C Trace Context writes it', () => {
    const state = { serialize: () => 'vendor=1' };
    const headers = traceContext(tracing({ traceId, spanId, traceFlags: 1 }));
    expect(headers?.()).toEqual({ traceparent: `00-${traceId}-${spanId}-01` });
    const withState = traceContext(tracing({ traceId, spanId, traceFlags: 0, traceState: state }));
    expect(withState?.()).toEqual({ traceparent: `00-${traceId}-${spanId}-00`, tracestate: 'vendor=1' });
  });

  it('is left out where no span is active, and for the one that stands for none', () => {
    expect(traceContext(tracing(undefined))?.()).toBeUndefined();
    const none = { traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 };
    expect(traceContext(tracing(none))?.()).toBeUndefined();
  });
});
