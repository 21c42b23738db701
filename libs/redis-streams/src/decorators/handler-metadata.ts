import 'reflect-metadata';
import { checkKnownKeys, durationMs, OptionsError, type Duration } from '@redstart/redis-core';
import { resolveRetry, type RetryOptions } from '../consumer/retry-policy.js';
import type { StreamDefinition, StreamEvent } from '../definition/define-stream.js';
import { describeParameters } from './stream-params.js';

/** Which messages a method handles: those of one event, or of all whose type matches. In a pattern `*` stands for any text: `'order.*'`. */
export type StreamPattern = StreamEvent | string;

/** What every kind of handler takes. */
export interface HandlerOptions {
  /** How often a failing message is tried in all, and how long it waits before the next attempt. @default retry of the module */
  retry?: RetryOptions;
  /**
   * How long one run may take: then its signal aborts, it counts as failed with a HandlerTimeoutError, and its slot is free, also when the handler goes on. @default none; a run of more
   * than five minutes is logged
   */
  timeout?: Duration;
}

/** What a decorator says of a method. */
export interface HandlerMetadata {
  /** The decorator as it was written, for messages: `@StreamHandler(order.created)`. */
  readonly where: string;
  /** The stream of the event; undefined for a pattern, which is of the stream that the class consumes. */
  readonly stream: StreamDefinition | undefined;
  /** The type of the event, or a pattern. */
  readonly pattern: string;
  readonly retry: RetryOptions;
  readonly timeoutMs: number | undefined;
  /** How long its inbox remembers a message; undefined without one. */
  readonly inboxMs: number | undefined;
  readonly batch: { readonly size: number; readonly maxWaitMs: number } | undefined;
}

/** A method that was given a handler's decorator, whatever has become of it since. */
export interface RecordedHandler {
  readonly propertyKey: string;
  readonly metadata: HandlerMetadata;
}

const metadataKey = '@redstart/redis-streams:handler';
const recordKey = '@redstart/redis-streams:handlers';

/** @param name of the decorator @throws OptionsError */
export function handlerMetadata(
  name: string,
  pattern: StreamPattern,
  options: HandlerOptions,
  extra: { known?: readonly string[]; batch?: HandlerMetadata['batch']; inboxMs?: number | undefined } = {},
): HandlerMetadata {
  const type = typeof pattern === 'string' ? pattern : pattern.type;
  const where = `@${name}(${type})`;
  if (type === '') throw new OptionsError(where, "expected an event of the stream, or a pattern such as 'order.*'.");
  checkKnownKeys(options, ['retry', 'timeout', ...(extra.known ?? [])], where);
  const { retry = {}, timeout } = options;
  resolveRetry(retry, `${where}.retry`);
  return Object.freeze({
    where,
    stream: typeof pattern === 'string' ? undefined : pattern.stream,
    pattern: type,
    retry,
    timeoutMs: timeout === undefined ? undefined : durationMs(timeout, `${where}.timeout`),
    inboxMs: extra.inboxMs,
    batch: extra.batch,
  });
}

/** Puts metadata on a method. */
export function recordHandler(
  metadata: HandlerMetadata,
  target: object,
  propertyKey: string,
  method: object | undefined,
): void {
  if (method !== undefined) Reflect.defineMetadata(metadataKey, metadata, method);
  // On the prototype, too, where no decorator above can cover it.
  Reflect.defineMetadata(recordKey, [...ownRecords(target), { propertyKey, metadata }], target);
  describeParameters(target.constructor, propertyKey, ['payload', 'ctx']);
}

export function handlerMetadataOf(method: object): HandlerMetadata | undefined {
  return Reflect.getMetadata(metadataKey, method) as HandlerMetadata | undefined;
}

/** The handlers of a class and of all it inherits from. A method decorated anew in a subclass stands for those it overrides. */
export function recordedHandlersOf(prototype: object): RecordedHandler[] {
  const own = ownRecords(prototype);
  const parent: unknown = Object.getPrototypeOf(prototype);
  const inherited = typeof parent === 'object' && parent !== null ? recordedHandlersOf(parent) : [];
  const decoratedAnew = new Set(own.map(({ propertyKey }) => propertyKey));
  return [...own, ...inherited.filter(({ propertyKey }) => !decoratedAnew.has(propertyKey))];
}

function ownRecords(prototype: object): RecordedHandler[] {
  // Only recordHandler writes it.
  return (Reflect.getOwnMetadata(recordKey, prototype) as RecordedHandler[] | undefined) ?? [];
}
