import type { ServerResponse } from 'node:http';
import { finished } from 'node:stream';
import type { Cancel, Clock } from '@redstart/redis-core';
import { propertyOf } from './properties.js';
import type { IncomingCall } from './transports/incoming-call.js';

/** How a call has ended: what `refundOn` decides by. */
export interface CallOutcome {
  /** The status of the HTTP answer; `undefined` of messages, and when the client left before there was one. */
  readonly status: number | undefined;
  /** What the handler threw; over HTTP `undefined`, where the status tells. */
  readonly error: unknown;
  /** Whether the client left before it had all of its answer, or a later guard refused a message. */
  readonly aborted: boolean;
}

/** Whether a call that has ended like this gets its charge back. */
export type RefundRule = (outcome: CallOutcome) => boolean | Promise<boolean>;

/** How long a message may take from our guard to its handler: then a later guard has refused it, and nobody tells. */
const unclaimedMs = 10_000;

/**
 * The end of a call that has something to give back: slots, or charges to be refunded.
 *
 * - *open*: from the guard on. A call with an HTTP response ends with that: sent, aborted, or an error of a later guard, pipe or handler, it always closes.
 * - *claimed*: a message has no response, so its handler's interceptor takes it over, and ends it with the handler. It is ended too if no interceptor comes within 10 s,
 *   since Nest runs none when a later guard refuses.
 * - *ended*: once; who asks after that is told at once.
 */
export class CallEnd {
  readonly #listeners: ((outcome: CallOutcome) => void)[] = [];
  readonly #response: ServerResponse | undefined;
  #cancelUnclaimed: Cancel | undefined;
  #error: unknown;
  #outcome: CallOutcome | undefined;

  constructor({ response }: Pick<IncomingCall, 'response'>, clock: Clock) {
    this.#response = rawResponse(response);
    if (this.#response === undefined) {
      const abandon = () => {
        this.#end({ status: undefined, error: undefined, aborted: true });
      };
      this.#cancelUnclaimed = clock.after(unclaimedMs, abandon, { unref: true });
      return;
    }
    const raw = this.#response;
    finished(raw, { readable: false }, (error) => {
      // Before the headers are sent it is what Node begins with, and nobody's answer.
      const status = raw.headersSent ? raw.statusCode : undefined;
      this.#end({ status, error: this.#error, aborted: error !== undefined && error !== null });
    });
  }

  onEnd(listener: (outcome: CallOutcome) => void): void {
    if (this.#outcome === undefined) this.#listeners.push(listener);
    else listener(this.#outcome);
  }

  /** The handler is about to run. */
  claim(): void {
    this.#cancelUnclaimed?.();
  }

  /** The handler has failed; a resolver's error is no other than the answer's. */
  failed(error: unknown): void {
    this.#error ??= error;
  }

  /** The handler is over, or nobody waits for it any more. */
  handled(): void {
    if (this.#response === undefined) this.#end({ status: undefined, error: this.#error, aborted: false });
  }

  #end(outcome: CallOutcome): void {
    if (this.#outcome !== undefined) return;
    this.#cancelUnclaimed?.();
    this.#outcome = outcome;
    for (const listener of this.#listeners.splice(0)) listener(outcome);
  }
}

/** Fastify's reply wraps Node's response. */
function rawResponse(response: object | undefined): ServerResponse | undefined {
  return [propertyOf(response, 'raw'), response].find(isServerResponse);
}

/** HTTP/2 has a class of its own, with the same face. */
function isServerResponse(value: unknown): value is ServerResponse {
  return typeof propertyOf(value, 'writeHead') === 'function' && typeof propertyOf(value, 'on') === 'function';
}
