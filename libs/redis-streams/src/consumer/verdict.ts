import { ForbiddenException } from '@nestjs/common';
import { InvalidPayloadError, RetryAfterError, UndecodableEntryError, UnrecoverableError } from '../streams.errors.js';
import type { DeadLetterCause } from './dead-letter.js';
import { MessageContext } from './message-context.js';
import type { RetryPolicy } from './retry-policy.js';

/**
 * What is to become of an entry.
 *
 * - `duplicate`: the inbox knows that it has been handled · `later`: somebody else handles its message, so it comes again without an attempt being counted
 * - `interrupted`: its handler ended because the application stops, so it goes back as if it had not begun
 */
export type Verdict =
  | { readonly kind: 'handled' | 'unhandled' | 'duplicate' | 'interrupted' }
  | { readonly kind: 'later'; readonly delayMs: number }
  | { readonly kind: 'retry'; readonly delayMs: number }
  | { readonly kind: 'dead'; readonly cause: DeadLetterCause };

export const handled: Verdict = { kind: 'handled' };
export const unhandled: Verdict = { kind: 'unhandled' };
export const duplicate: Verdict = { kind: 'duplicate' };
export const interrupted: Verdict = { kind: 'interrupted' };

export function dead(cause: DeadLetterCause): Verdict {
  return { kind: 'dead', cause };
}

/** Of a handler that resolved: what it asked for, or that the message is handled. */
export function verdictOfSuccess(ctx: MessageContext, retry: RetryPolicy): Verdict {
  const request = MessageContext.requestOf(ctx);
  if (request === undefined) return handled;
  if (request.kind === 'dead') return dead({ reason: 'unrecoverable', error: request.error });
  return again(ctx, retry, request.delayMs);
}

/** Of a handler that failed with this error. */
export function verdictOfFailure(ctx: MessageContext, retry: RetryPolicy, error: unknown): Verdict {
  const request = MessageContext.requestOf(ctx);
  if (request?.kind === 'dead') return dead({ reason: 'unrecoverable', error: request.error });
  if (isA(error, InvalidPayloadError)) return dead({ reason: 'schema', error });
  if (isA(error, UndecodableEntryError)) return dead({ reason: 'undecodable', error });
  // A guard that refuses a message now would refuse it again.
  if (isA(error, UnrecoverableError) || isA(error, ForbiddenException)) {
    return dead({ reason: 'unrecoverable', error });
  }
  const delayMs = request?.delayMs ?? (isA(error, RetryAfterError) ? error.delayMs : undefined);
  return again(ctx, retry, delayMs, error);
}

function again(ctx: MessageContext, retry: RetryPolicy, delayMs: number | undefined, error?: unknown): Verdict {
  if (ctx.attempt >= retry.attempts) return dead({ reason: 'attempts', error });
  return { kind: 'retry', delayMs: delayMs ?? retry.delayMs(ctx.attempt) };
}

/** A handler may throw what can't even be asked, like a revoked Proxy. */
function isA<T>(thrown: unknown, type: abstract new (...args: never[]) => T): thrown is T {
  try {
    return thrown instanceof type;
  } catch {
    return false;
  }
}

/** The message comes again, later. */
export type Postponed = Verdict & { readonly delayMs: number };

export function isPostponed(verdict: Verdict): verdict is Postponed {
  return verdict.kind === 'retry' || verdict.kind === 'later';
}
