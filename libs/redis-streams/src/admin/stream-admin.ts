import { checkText, OptionsError, RedisCommandError, type RedisConnection } from '@redstart/redis-core';
import { delayKeys } from '../keys.js';
import { text } from '../message/envelope.js';
import { countAfterScript } from '../scripts/count-after.js';
import { groupStateScript, type GroupSnapshot } from '../scripts/group-state.js';
import { StreamGroupNotFoundError } from '../streams.errors.js';
import type { RedisStreams } from '../streams.service.js';
import { adminCall } from './admin-call.js';
import { DeadLetters } from './dead-letters.js';
import { idBefore } from './entry-id.js';
import { groupStatus, pendingSummary, type GroupStatus, type PendingSummary } from './group-status.js';
import { nameOf, partsOf, type StreamPart, type StreamTarget } from './stream-target.js';

export interface ResetOptions {
  /** Where the group goes on: with the oldest entry, with what is published from now on, with the entry of this id, or with what was published from this moment on. */
  readonly to: 'start' | 'end' | (string & {}) | Date;
}

/**
 * Looks after the groups of streams: how far they are, what is pending, what they gave up on. Stateless, and needs no consumer in this process.
 *
 * A stream is given as its definition, the name of one that is registered here, or `{ name, partitions }`. On a partitioned stream an operation goes through the partitions one after the other: of each
 * partition it is one moment or one step, of the whole it is not.
 *
 * @example
 * constructor(private readonly admin: StreamAdmin) {}
 * await this.admin.lag(orders, 'billing');
 * await this.admin.deadLetters(orders, 'billing').replay({ type: 'order.created' }, { rate: 50 });
 */
export class StreamAdmin {
  readonly #streams: RedisStreams;
  readonly #connection: RedisConnection;

  /** @internal Inject it; provided by `RedisStreamsModule.forRoot`. */
  constructor(streams: RedisStreams) {
    this.#streams = streams;
    this.#connection = streams.connection;
  }

  /**
   * The groups of a stream by name, and how each stands. Empty for a stream that does not exist (yet). The telemetry tells of it as well: call it as often as your metrics want it.
   *
   * All but `lag` is of one moment per partition; see {@link lag} for that.
   *
   * @throws RedisUnavailableError
   * @see  XINFO GROUPS; one script per group and partition; what {@link lag} sends
   */
  async groups(stream: StreamTarget): Promise<GroupStatus[]> {
    const statuses: GroupStatus[] = [];
    for (const group of await this.#groupNames(stream)) {
      const snapshots = await this.#snapshots(stream, group);
      // Destroyed meanwhile.
      if (snapshots.length === 0) continue;
      statuses.push(await this.#statusOf(stream, group, snapshots));
    }
    return statuses;
  }

  /**
   * How many entries the group has never been given. Counted one by one where needed, so it is exact also where XINFO GROUPS answers null or, after entries were deleted or
   * trimmed, a wrong number; a large lag takes about a second per million, in slices that don't hold the server up.
   *
   * Consumers go on meanwhile: it is the lag of the moment when the counting began, less what was deleted or trimmed since.
   *
   * @param options.limit counts no further than about this many, when all you want is whether it is more
   * @throws StreamGroupNotFoundError · RedisUnavailableError
   * @see  one script, and one per 5,000 entries or 4 MiB
   */
  async lag(stream: StreamTarget, group: string, options: { limit?: number } = {}): Promise<number> {
    return this.#lagOf(await this.#known(stream, group), options.limit);
  }

  /**
   * What the group has been given and has not acknowledged, in its stream and in its retry stream. A moment later it may be otherwise.
   *
   * @throws StreamGroupNotFoundError · RedisUnavailableError
   * @see  one script per partition
   */
  async pending(stream: StreamTarget, group: string): Promise<PendingSummary> {
    const found = await this.#known(stream, group);
    return pendingSummary(found.map(({ snapshot }) => snapshot));
  }

  /** How one group stands. @throws StreamGroupNotFoundError · RedisUnavailableError */
  async group(stream: StreamTarget, group: string, options: { limit?: number } = {}): Promise<GroupStatus> {
    return this.#statusOf(stream, group, await this.#known(stream, group), options.limit);
  }

  /** The dead letters of a group. Sends nothing by itself. */
  deadLetters(stream: StreamTarget, group: string): DeadLetters {
    checkText(group, 'StreamAdmin.deadLetters(_, group)');
    return new DeadLetters(this.#connection, this.#streams.codec, this.#partsOf(stream), group, async () => {
      await this.#known(stream, group);
    });
  }

  /**
   * Lets the group go on from another place of the stream.
   *
   * What it has been given and not acknowledged stays pending, and its retries and dead letters stay what they are; `pause` it before, to have nothing in flight. Back to an
   * earlier place: entries that are being handled at this moment may be handled once more. To a later place: what lies between is never given to this group.
   *
   * @throws StreamGroupNotFoundError · OptionsError for an id that is none · RedisUnavailableError
   * @see  XGROUP SETID per partition
   */
  async reset(stream: StreamTarget, group: string, { to }: ResetOptions): Promise<void> {
    const position = positionOf(to);
    for (const { part } of await this.#known(stream, group)) {
      await this.#connection.call(adminCall('reset'), (client) =>
        client.xgroup('SETID', part.keys.stream, group, position),
      );
    }
  }

  /**
   * Keeps the group's consumers, in all processes, from beginning anything new, until `resume`: also after restarts.
   *
   * They hear of it at once, and at the latest after one `block` period; handlers that run go on, and what they finish is acknowledged.
   *
   * @throws StreamGroupNotFoundError · RedisUnavailableError
   * @see  SET and PUBLISH (SPUBLISH on a Cluster) per partition
   */
  async pause(stream: StreamTarget, group: string): Promise<void> {
    for (const { part } of await this.#known(stream, group)) {
      const key = part.keys.paused(group);
      await this.#connection.call(adminCall('pause'), async (client) => {
        await client.set(key, '1');
        await this.#connection.subscriber.publish(client, key, 'paused');
      });
    }
  }

  /**
   * Ends a pause; consumers go on at once, at the latest after one `block` period. Does nothing to a group that is not paused.
   *
   * @throws StreamGroupNotFoundError, unless a pause was left behind by a group that is gone · RedisUnavailableError
   * @see  DEL and PUBLISH (SPUBLISH on a Cluster) per partition; where nothing was paused one script per partition
   */
  async resume(stream: StreamTarget, group: string): Promise<void> {
    checkText(group, 'StreamAdmin.resume(_, group)');
    let ended = 0;
    for (const { keys } of this.#partsOf(stream)) {
      const key = keys.paused(group);
      ended += await this.#connection.call(adminCall('resume'), async (client) => {
        const deleted = await client.del(key);
        await this.#connection.subscriber.publish(client, key, 'resumed');
        return deleted;
      });
    }
    if (ended === 0) await this.#known(stream, group);
  }

  /**
   * @internal Says that there is no stream of that name, or that it has another shape; `undefined` when there is one.
   * @see  EXISTS per partition
   */
  async absence(stream: StreamTarget): Promise<string | undefined> {
    const name = nameOf(stream);
    const parts = this.#partsOf(stream);
    if (await this.#exists(parts)) return undefined;
    const divided = parts[0]?.prefix === '' && (await this.#exists(this.#partsOf({ name, partitions: 1 })));
    return divided
      ? `The stream "${name}" is partitioned: say how many partitions it has.`
      : `There is no stream "${name}".`;
  }

  async #exists(parts: readonly StreamPart[]): Promise<boolean> {
    const found = await Promise.all(
      parts.map(({ keys }) => this.#connection.call(adminCall('exists'), (client) => client.exists(keys.stream))),
    );
    return found.some((count) => count > 0);
  }

  /** Whoever listens to the telemetry hears of it. */
  async #statusOf(
    stream: StreamTarget,
    group: string,
    found: readonly PartSnapshot[],
    limit?: number,
  ): Promise<GroupStatus> {
    const snapshots = found.map(({ snapshot }) => snapshot);
    const status = groupStatus(group, snapshots, await this.#lagOf(found, limit));
    const { telemetry } = this.#streams;
    if (telemetry.heard) {
      const { lag, lagMs, pending, oldestPendingMs, retrying, deadLetters } = status;
      telemetry.publish(nameOf(stream), {
        ...{ event: 'lag', group, lag, lagMs, pending, oldestPendingMs, retrying, deadLetters },
      });
    }
    return status;
  }

  #partsOf(stream: StreamTarget): StreamPart[] {
    return partsOf(this.#connection.keys, stream, this.#streams.streams);
  }

  async #known(stream: StreamTarget, group: string): Promise<PartSnapshot[]> {
    checkText(group, 'StreamAdmin(_, group)');
    const found = await this.#snapshots(stream, group);
    if (found.length > 0) return found;
    const groups = await this.#groupNames(stream);
    throw new StreamGroupNotFoundError(nameOf(stream), group, groups, await this.absence(stream));
  }

  /** Of the partitions that have the group: consumers create it partition by partition. */
  async #snapshots(stream: StreamTarget, group: string): Promise<PartSnapshot[]> {
    const found = await Promise.all(
      this.#partsOf(stream).map(async (part) => {
        const { keys } = part;
        const snapshot = await this.#connection.scripts.run(
          adminCall('group'),
          groupStateScript,
          [
            keys.stream,
            keys.retry(group),
            delayKeys(keys.retry(group)).due,
            keys.deadLetters(group),
            keys.paused(group),
          ],
          [group],
        );
        return snapshot === undefined ? [] : [{ part, snapshot }];
      }),
    );
    return found.flat();
  }

  async #lagOf(found: readonly PartSnapshot[], limit = Infinity): Promise<number> {
    let lag = 0;
    for (const { part, snapshot } of found) {
      for (let after = snapshot.lastDeliveredId, last = ''; after !== '' && lag <= limit;) {
        const counted = await this.#connection.scripts.run(
          adminCall('lag'),
          countAfterScript,
          [part.keys.stream],
          [after, last],
        );
        lag += counted.count;
        after = counted.next;
        last = counted.last;
      }
    }
    return lag;
  }

  async #groupNames(stream: StreamTarget): Promise<string[]> {
    const perPart = await Promise.all(this.#partsOf(stream).map(({ keys }) => this.#groupNamesOf(keys.stream)));
    return [...new Set(perPart.flat())].sort();
  }

  async #groupNamesOf(key: string): Promise<string[]> {
    try {
      const rows = await this.#connection.call(adminCall('groups'), (client) => client.call('xinfo', 'GROUPS', key));
      return Array.isArray(rows) ? rows.map((row: unknown) => (Array.isArray(row) ? text(row[1]) : '')) : [];
    } catch (error) {
      if (error instanceof RedisCommandError && error.message.includes('no such key')) return [];
      throw error;
    }
  }
}

interface PartSnapshot {
  readonly part: StreamPart;
  readonly snapshot: GroupSnapshot;
}

/** What XGROUP SETID has to be told, so that the group goes on there. */
function positionOf(to: ResetOptions['to']): string {
  const option = 'StreamAdmin.reset(_, _, { to })';
  if (to === 'start') return '0';
  if (to === 'end') return '$';
  if (!(to instanceof Date)) return idBefore(checkText(to, option), option);
  if (Number.isNaN(to.getTime()) || to.getTime() < 0) throw new OptionsError(option, 'expected a valid Date.');
  return idBefore(String(to.getTime()), option);
}
