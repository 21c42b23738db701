import { Injectable } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import {
  checkInteger,
  checkKnownKeys,
  durationMs,
  RedstartError,
  type Clock,
  type Duration,
} from '@redstart/redis-core';
import { StreamAdmin } from '../admin/stream-admin.js';
import type { GroupStatus } from '../admin/group-status.js';
import type { GroupConsumer } from '../consumer/group-consumer.js';
import { RedisStreams } from '../streams.service.js';
import { getStreamAdminToken, getStreamsToken } from '../streams.tokens.js';

export interface StreamsHealthOptions {
  /** Which RedisStreamsModule. @default 'default' */
  name?: string;
  /** How long a reader may wait for an answer of Redis. @default the module's `block` and 10 s: in that time it has noticed a dead connection and replaced it */
  maxSilence?: Duration;
  /** How many entries may wait that a group has never been given. @default none: as many as there are */
  maxLag?: number;
  /** How old the oldest message of a group may be that waits, or is being handled; more than your longest handler takes. @default none */
  maxAge?: Duration;
  /** How long Redis may take to answer. @default '2s' */
  timeout?: Duration;
}

/** How one consumer of this process stands. */
export interface ConsumerHealth {
  readonly stream: string;
  readonly group: string;
  /** Whether its reader hears from Redis. */
  readonly reading: boolean;
  readonly paused: boolean;
  /** Counted up to about `maxLag`, or 1000. */
  readonly lag: number;
  readonly pending: number;
  /** Of the oldest message that waits, or is being handled; `null` without any. */
  readonly ageMs: number | null;
}

/** How far a lag is counted that no threshold is about. */
const countedLag = 1_000;
const silenceMs = 10_000;

/**
 * Tells @nestjs/terminus whether the consumers of this process get their messages, and keep up with them. Provide it in the module of your health controller.
 *
 * It is down when a reader does not hear from Redis for `maxSilence`, or a group has more than `maxLag` waiting, or something older than `maxAge`. A paused group is up, however much waits. The result
 * holds how each consumer stands, and no host. It never throws.
 *
 * @example  this.health.check([() => this.streams.isHealthy('streams', { maxLag: 10_000, maxAge: '5m' })])
 * @see      per consumer the commands of `StreamAdmin.group`
 */
@Injectable()
export class StreamsHealthIndicator {
  constructor(
    private readonly moduleRef: ModuleRef,
    private readonly health: HealthIndicatorService,
  ) {}

  /** @throws OptionsError for wrong options */
  async isHealthy<Key extends string>(
    key: Key,
    options: StreamsHealthOptions = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const where = 'StreamsHealthIndicator.isHealthy';
    checkKnownKeys(options, ['name', 'maxSilence', 'maxLag', 'maxAge', 'timeout'], where);
    const streams = this.moduleRef.get<RedisStreams>(getStreamsToken(options.name), { strict: false });
    const admin = this.moduleRef.get<StreamAdmin>(getStreamAdminToken(options.name), { strict: false });
    const maxSilenceMs = durationMs(
      options.maxSilence ?? streams.options.blockMs + silenceMs,
      `${where}({ maxSilence })`,
    );
    const maxAgeMs = options.maxAge === undefined ? Infinity : durationMs(options.maxAge, `${where}({ maxAge })`);
    const maxLag =
      options.maxLag === undefined
        ? Infinity
        : checkInteger(options.maxLag, `${where}({ maxLag })`, 0, Number.MAX_SAFE_INTEGER);
    const timeoutMs = durationMs(options.timeout ?? '2s', `${where}({ timeout })`);
    const indicator = this.health.check(key);
    try {
      const looks = [...streams.consumers].map((consumer) => this.#look(admin, consumer, maxSilenceMs, maxLag));
      const consumers = await within(timeoutMs, streams.connection.clock, Promise.all(looks));
      if (consumers === undefined) {
        return indicator.down({ code: 'TIMEOUT', message: `Redis has not answered within ${timeoutMs} ms.` });
      }
      const healthy = consumers.every(
        ({ reading, paused, lag, ageMs }) => reading && (paused || (lag <= maxLag && (ageMs ?? 0) <= maxAgeMs)),
      );
      return healthy ? indicator.up({ consumers }) : indicator.down({ consumers });
    } catch (error) {
      const known = error instanceof RedstartError;
      return indicator.down({
        code: known ? error.code : 'UNKNOWN',
        message: (known ? error.response.detail : undefined) ?? 'The health check failed.',
      });
    }
  }

  async #look(
    admin: StreamAdmin,
    consumer: GroupConsumer,
    maxSilenceMs: number,
    maxLag: number,
  ): Promise<ConsumerHealth> {
    const { stream, group } = consumer.metadata;
    const limit = Number.isFinite(maxLag) ? maxLag : countedLag;
    const { lag, pending, paused, ...ages } = await admin.group(stream, group, { limit });
    const reading = consumer.silentMs <= maxSilenceMs;
    return { stream: stream.name, group, reading, paused, lag, pending, ageMs: oldest(ages) };
  }
}

function oldest({ lagMs, oldestPendingMs }: Pick<GroupStatus, 'lagMs' | 'oldestPendingMs'>): number | null {
  if (lagMs === undefined) return oldestPendingMs ?? null;
  return Math.max(lagMs, oldestPendingMs ?? 0);
}

/** @returns undefined when the work takes longer; what it does afterwards is ignored */
function within<T>(ms: number, clock: Clock, work: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => {
      resolve(undefined);
    });
    void work.then(resolve, reject).finally(cancel);
  });
}
