import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { systemClock, Warnings } from '@redstart/redis-core';
import type { DeadLetterReason } from '../consumer/dead-letter.js';

/** What an event is about. Never a payload, a header, a message's id or key, or an address: only names of bounded number, so that they may serve as labels of metrics. */
export interface StreamTelemetrySource {
  /** The name of the RedisStreamsModule. */
  readonly module: string;
  /** The name of the connection. */
  readonly connection: string;
  /** The name of the stream, as it was defined. */
  readonly stream: string;
}

interface OfGroup {
  readonly group: string;
}

/**
 * What happened.
 *
 * - `published`: a message is in Redis; `delayed` when it is due later, `duplicate` when its id had been published before
 * - `handled`, `duplicate` (the inbox knew it), `unhandled` (no handler for its type): acknowledged
 * - `retried`: its handler failed; it comes again · `dead-lettered`: given up
 * - `lost`: another consumer took it over while it was worked on · `reclaimed`: taken over from a consumer that died
 * - `trimmed`: gone before the group had handled it · `dropped`: dead letters that had to go for newer ones
 * - `set-aside`: so many messages stand behind others of their key, and no more are read until some have gone; told with each renewal
 * - `lag`: `StreamAdmin` has measured how a group stands; ages in milliseconds
 */
export type StreamHappening =
  | { readonly event: 'published'; readonly type: string; readonly duplicate: boolean; readonly delayed: boolean }
  | (OfGroup & { readonly event: 'handled' | 'duplicate' | 'unhandled' | 'retried' | 'lost' })
  | (OfGroup & { readonly event: 'dead-lettered'; readonly reason: DeadLetterReason })
  | (OfGroup & { readonly event: 'reclaimed' | 'trimmed' | 'dropped' | 'set-aside'; readonly count: number })
  | (OfGroup & {
      readonly event: 'lag';
      readonly lag: number;
      readonly lagMs: number | undefined;
      readonly pending: number;
      readonly oldestPendingMs: number | undefined;
      readonly retrying: number;
      readonly deadLetters: number;
    });

export type StreamTelemetryEvent = StreamTelemetrySource & StreamHappening;

/**
 * The channel of `node:diagnostics_channel` on which every {@link StreamTelemetryEvent} of the process is published. What a subscriber of it throws, Node reports as an uncaught
 * exception: {@link onStreamTelemetry} is the safer way.
 */
export const streamChannel = channel('redstart:stream');

/**
 * Hears of every event of every stream in this process, until the returned function is called.
 *
 * Called in the middle of the work on messages, so be quick. What the listener throws is logged, at most every 30 s, and harms nothing.
 *
 * @example
 * const stop = onStreamTelemetry((event) => {
 *   if (event.event === 'dead-lettered') deadLetters.inc({ stream: event.stream, group: event.group, reason: event.reason });
 * });
 */
export function onStreamTelemetry(listener: (event: StreamTelemetryEvent) => unknown): () => void {
  const warnings = new Warnings('RedisStreams', systemClock);
  const fail = (error: unknown) => {
    const message = error instanceof Error ? error.message : 'it threw';
    warnings.warn('listener', `A listener of stream telemetry failed: ${message}`);
  };
  const hear = (event: unknown) => {
    try {
      const outcome = listener(event as StreamTelemetryEvent);
      if (outcome instanceof Promise) outcome.catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  subscribe(streamChannel.name, hear);
  return () => {
    unsubscribe(streamChannel.name, hear);
  };
}
