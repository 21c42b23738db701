import type { Cluster, Redis } from 'ioredis';
import { rendezvousOwner } from '../../../src/consumer/partitions/rendezvous.js';
import type { RedisState } from '../ledger/judge.js';
import { noticesGroup, noticesStream } from '../member/notices.js';
import { effectsKey, group, ordersKey, ordersTag, type Order, type OrderType } from '../member/orders-stream.js';
import { shipments, trackingGroup } from '../member/shipments-stream.js';

export const streamKey = ordersKey;
const partitionTags = Array.from({ length: shipments.partitions ?? 0 }, (_, partition) => `{shipments/${partition}}`);
/** The keys of the partitions of the other stream. */
export const partitionKeys = partitionTags.map((tag) => `shop:stream:${tag}`);

const membersKey = `shop:stream:{shipments}:members:${trackingGroup}`;

/** One stream, or one partition, and the keys of its group. */
interface Part {
  readonly stream: string;
  readonly group: string;
  readonly retry: string;
  readonly deadLetters: string;
}
const partOf = (stream: string, group: string): Part => ({
  stream,
  group,
  retry: `${stream}:retry:${group}`,
  deadLetters: `${stream}:dlq:${group}`,
});
const parts = [
  partOf(streamKey, group),
  ...partitionKeys.map((key) => partOf(key, trackingGroup)),
  partOf(`shop:stream:{${noticesStream}}`, noticesGroup),
];

const page = 1_000;
/** How many of the last entries are looked at for some to add again. */
const lastOnes = 300;

/** The streams, their groups and their dead letters, as Redis shows them to anybody. */
export class StreamView {
  readonly #redis: Redis | Cluster;
  /** The entries of the stream of orders that this view has added: in other streams the same id is another entry's. */
  readonly #again = new Set<string>();

  constructor(redis: Redis | Cluster) {
    this.#redis = redis;
  }

  /** How many entries are pending under the consumers of a process: of the stream, and of the partitions. */
  async pendingOf(pid: number): Promise<{ whole: number; partitioned: number }> {
    const [whole = 0, ...partitioned] = await Promise.all(
      parts.map(async ({ stream, group: of }) => {
        const counts = await this.#pendingByConsumer(stream, of);
        return counts.filter(([name]) => name.includes(`:${pid}:`)).reduce((sum, [, count]) => sum + count, 0);
      }),
    );
    return { whole, partitioned: partitioned.reduce((sum, count) => sum + count, 0) };
  }

  /**
   * The process that owns a partition, and goes on owning it.
   * @returns undefined while the partitions are still being shared among so many members
   */
  async ownerOf(partition: number, count: number): Promise<number | undefined> {
    const members = await this.#redis.zrange(membersKey, '0', '-1');
    const owners = await Promise.all(partitionKeys.map((key) => this.#redis.get(`${key}:owner:${trackingGroup}`)));
    const shared = owners.every((owner, at) => owner === rendezvousOwner(at, members));
    const owner = owners[partition % owners.length];
    if (members.length !== count || !shared || owner === undefined || owner === null) return undefined;
    // <service>:<host>:<pid>:<random>:<stream>
    return Number(owner.split(':').at(-3));
  }

  /** What is left to do: pending, not delivered yet, or waiting for its time. All 0 when the groups have handled everything. */
  async backlog(): Promise<Record<string, number>> {
    const left: Record<string, number> = {};
    await Promise.all(
      parts.flatMap(({ stream, group: of, retry }) =>
        [stream, retry].map(async (key) => {
          const pending = await this.#pendingByConsumer(key, of);
          left[`pending in ${key}`] = pending.reduce((sum, [, count]) => sum + count, 0);
          left[`not delivered of ${key}`] = await this.#undelivered(key, of);
          left[`waiting in ${key}`] = await this.#redis.zcard(`${key}:due`);
        }),
      ),
    );
    return left;
  }

  /** The messages of a wave in the streams and among the dead letters. */
  async stateOf(wave: string): Promise<RedisState> {
    const failing = new Set<string>();
    const entries = await this.#messagesIn(wave, failing, ({ stream }) => stream);
    const deadLetters = await this.#messagesIn(wave, failing, (part) => part.deadLetters);
    return { entries, deadLetters, effects: await this.#effectsOf(wave), failing };
  }

  /** Those of some messages that are over, whatever the ledger says: their effect is in Redis, or they are dead letters. */
  async doneAmong(wave: string, messages: readonly string[]): Promise<ReadonlySet<string>> {
    if (messages.length === 0) return new Set();
    const deadLetters = await this.#messagesIn(wave, new Set(), (part) => part.deadLetters);
    const effects = await this.#redis.hmget(effectsKey(ordersTag, wave), ...messages);
    return new Set([...deadLetters.keys(), ...messages.filter((_, at) => effects[at] != null)]);
  }

  /** How many entries were added again since the last trimming. */
  get addedAgain(): number {
    return this.#again.size;
  }

  /** Adds messages a second time that the inbox remembers, behind the back of all deduplication: they are acknowledged unseen, or the judge counts a second effect. */
  async addAgain(wave: string): Promise<void> {
    const type: OrderType = 'order.paid';
    for (const [, fields] of await this.#redis.xrevrange(streamKey, '+', '-', 'COUNT', lastOnes)) {
      const order = orderIn(fields);
      if (order?.wave !== wave || order.fate === 'fails for good' || fieldOf(fields, 't') !== type) continue;
      const id = await this.#redis.xadd(streamKey, '*', ...fields);
      if (id !== null) this.#again.add(id);
    }
  }

  /** Makes room: everything in the streams has been handled. */
  async trim(wave: string): Promise<void> {
    for (const { stream, deadLetters } of parts) {
      for (const key of [stream, deadLetters]) await this.#redis.xtrim(key, 'MAXLEN', 0);
    }
    await this.#redis.del(effectsKey(ordersTag, wave));
    this.#again.clear();
  }

  async #effectsOf(wave: string): Promise<Map<string, number>> {
    const counts = await this.#redis.hgetall(effectsKey(ordersTag, wave));
    return new Map(Object.entries(counts).map(([message, count]) => [message, Number(count)]));
  }

  async #pendingByConsumer(key: string, of: string): Promise<[string, number][]> {
    const summary: unknown = await this.#redis.xpending(key, of).catch(unlessGone);
    const [, , , rows] = Array.isArray(summary) ? (summary as unknown[]) : [];
    if (!Array.isArray(rows)) return [];
    return (rows as unknown[][]).map(([name, count]) => [String(name), Number(count)]);
  }

  /** Counted, not asked for: after some commands Redis does not know the lag of a group. */
  async #undelivered(key: string, of: string): Promise<number> {
    const rows: unknown = await this.#redis.xinfo('GROUPS', key).catch(unlessGone);
    for (const row of Array.isArray(rows) ? (rows as unknown[][]) : []) {
      const fields = new Map(row.flatMap((name, at) => (at % 2 === 0 ? [[name, row[at + 1]] as const] : [])));
      if (fields.get('name') !== of) continue;
      const last = String(fields.get('last-delivered-id'));
      return (await this.#redis.xrange(key, `(${last}`, '+', 'COUNT', page)).length;
    }
    return this.#redis.xlen(key);
  }

  async #messagesIn(wave: string, failing: Set<string>, keyOf: (part: Part) => string): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for (const part of parts) {
      for await (const order of this.#ordersIn(keyOf(part))) {
        if (order.wave !== wave) continue;
        counts.set(order.message, (counts.get(order.message) ?? 0) + 1);
        if (order.fate === 'fails for good') failing.add(order.message);
      }
    }
    return counts;
  }

  async *#ordersIn(key: string): AsyncGenerator<Order> {
    for (let from = '-'; ;) {
      const entries = await this.#redis.xrange(key, from, '+', 'COUNT', page);
      for (const [id, fields] of entries) {
        const order = key === streamKey && this.#again.has(id) ? undefined : orderIn(fields);
        if (order !== undefined) yield order;
      }
      const last = entries.at(-1);
      if (last === undefined || entries.length < page) return;
      from = `(${last[0]}`;
    }
  }
}

/** What every payload of the streams under test has in common. */
function orderIn(fields: readonly string[]): Order | undefined {
  const payload = fieldOf(fields, 'd');
  return payload === undefined ? undefined : (JSON.parse(payload) as Order);
}

function fieldOf(fields: readonly string[], name: string): string | undefined {
  return fields.find((_, at) => at % 2 === 1 && fields[at - 1] === name);
}

/** A stream or a group that is not there has nothing in it. */
function unlessGone(error: unknown): undefined {
  if (error instanceof Error && /^(NOGROUP|ERR no such key)/.test(error.message)) return undefined;
  throw error;
}
