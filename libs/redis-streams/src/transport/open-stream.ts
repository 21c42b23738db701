import { defineStream, type EventShapes, type StreamDefinition } from '../definition/define-stream.js';
import { event } from '../definition/event.js';

/** A stream that takes events of any type: patterns are not declared anywhere. */
export interface OpenStream {
  readonly definition: StreamDefinition;
  /** From now on the stream has an event of this type, if it is an open one. */
  readonly declare: (type: string) => void;
}

/** @param stream a name, or a definition, which is taken as it is: it knows its events */
export function openStream(stream: StreamDefinition | string): OpenStream {
  if (typeof stream !== 'string') return { definition: stream, declare: () => undefined };
  const events: Record<string, EventShapes[string]> = {};
  // The name is checked there, and the rest is as of any other stream.
  const closed: StreamDefinition = defineStream(stream, { events: { any: event() } });
  return {
    definition: { ...closed, events },
    declare: (type) => {
      events[type] = event();
    },
  };
}

/** The stream of the calls beside a stream of events. */
export function requestsOf(stream: StreamDefinition | string): OpenStream {
  return openStream(`${typeof stream === 'string' ? stream : stream.name}.requests`);
}

/** The one group that answers calls: each is for one server, not for one of each group. */
export const requestsGroup = 'rpc';

/** Headers of a request. */
export const requestHeaders = { replyTo: 'x-reply-to', timeout: 'x-timeout' } as const;
