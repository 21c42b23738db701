import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { systemClock, Warnings } from '@redstart/redis-core';
import type { RateLimitDecision } from '../decision.js';

/** What an event is about. Never a key: only names of bounded number, so that they may serve as labels of metrics. */
export interface RateLimitEventSource {
  /** The name of the RedisRateLimitModule. */
  readonly module: string;
  /** The name of the connection. */
  readonly connection: string;
  readonly policy: string;
}

/** What happened. Every call ends, for each of its policies, as one of these. */
export type RateLimitHappening =
  /** `nearLimit`: with this call at least 80 % of some limit is taken. */
  | { readonly event: 'allowed'; readonly decidedBy: RateLimitDecision['decidedBy']; readonly nearLimit: boolean }
  | {
      readonly event: 'denied';
      readonly decidedBy: RateLimitDecision['decidedBy'];
      /** False for a policy with `enforce: false`: the call went on. */
      readonly enforced: boolean;
      readonly blocked: boolean;
      /** Told from memory, without asking Redis. */
      readonly remembered: boolean;
    }
  /** Another policy of the same call denied it: nothing was charged. */
  | { readonly event: 'spared' }
  /** Redis was away and the policy is closed, or it refused the command. */
  | { readonly event: 'failed' }
  | { readonly event: 'refunded' };

export type RateLimitEvent = RateLimitEventSource & RateLimitHappening;

/**
 * The channel of `node:diagnostics_channel` on which every {@link RateLimitEvent} of the process is published. What a subscriber of it throws, Node reports as an uncaught
 * exception: {@link onRateLimitEvent} is the safer way.
 */
export const rateLimitChannel = channel('redstart:ratelimit');

/**
 * Hears of every decision in this process, until the returned function is called.
 *
 * Called in the middle of a call, so be quick. What the listener throws is logged, at most every 30 s, and harms nothing.
 *
 * @example
 * const stop = onRateLimitEvent(({ policy, event }) => decisions.inc({ policy, event }));
 */
export function onRateLimitEvent(listener: (event: RateLimitEvent) => unknown): () => void {
  const warnings = new Warnings('RedisRateLimit', systemClock);
  const fail = (error: unknown) => {
    const reason = error instanceof Error ? error.message : 'it threw';
    warnings.warn('listener', `A listener of rate limit events failed: ${reason}`);
  };
  const hear = (event: unknown) => {
    try {
      const outcome = listener(event as RateLimitEvent);
      if (outcome instanceof Promise) outcome.catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  subscribe(rateLimitChannel.name, hear);
  return () => {
    unsubscribe(rateLimitChannel.name, hear);
  };
}
