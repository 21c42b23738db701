import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkKnownKeys,
  checkOneOf,
  durationMs,
  type Duration,
} from '@redstart/redis-core';

export interface OutboxRelayOptions {
  /** Whether this process relays. `false` where only others should. @default true */
  enabled?: boolean;
  /** How often the store is asked for messages that nobody has told of by `kick`. @default '1s' */
  pollInterval?: Duration;
  /** How many messages are fetched at a time. @default 100 */
  batchSize?: number;
  /**
   * `'stream'`: one after the other, in the order of the outbox. `'key'`: at the same time, those of one key one after the other; many times faster, and enough where only the order per key
   * matters. Either way nothing new is begun behind one that fails. @default 'stream'
   */
  order?: 'stream' | 'key';
  /** How long a pass that is under way may take to finish at shutdown. @default '10s' */
  drainTimeout?: Duration;
  /** Is told of the first of a row of failures; the relay goes on by itself, also when this fails. @default a line in the log */
  onFailure?: (error: unknown) => unknown;
}

/** Complete, checked, frozen. Durations are milliseconds. */
export interface ResolvedOutboxRelayOptions {
  readonly enabled: boolean;
  readonly pollIntervalMs: number;
  readonly batchSize: number;
  readonly order: 'stream' | 'key';
  readonly drainTimeoutMs: number;
  readonly onFailure: ((error: unknown) => unknown) | undefined;
}

const defaults = {
  enabled: true,
  pollInterval: '1s',
  batchSize: 100,
  order: 'stream',
  drainTimeout: '10s',
} as const satisfies OutboxRelayOptions;

/** @throws OptionsError */
export function resolveOutboxOptions(raw: OutboxRelayOptions, where: string): ResolvedOutboxRelayOptions {
  checkKnownKeys(raw, [...Object.keys(defaults), 'onFailure'], where);
  const { onFailure, ...given } = raw;
  const { enabled, pollInterval, batchSize, order, drainTimeout } = { ...defaults, ...given };
  return Object.freeze({
    enabled: checkBoolean(enabled, `${where}.enabled`),
    pollIntervalMs: durationMs(pollInterval, `${where}.pollInterval`, { min: 10 }),
    batchSize: checkInteger(batchSize, `${where}.batchSize`, 1, 10_000),
    order: checkOneOf(order, `${where}.order`, ['stream', 'key']),
    drainTimeoutMs: durationMs(drainTimeout, `${where}.drainTimeout`, { min: 0 }),
    onFailure: onFailure === undefined ? undefined : checkFunction(onFailure, `${where}.onFailure`),
  });
}
