import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { hashSlot, type RedisConnection } from '@redstart/redis-core';
import type { ResolvedStreamsOptions } from '../../streams.options.js';
import { ReaperRounds } from '../reaper-rounds.js';
import { Reporter } from '../reporter.js';
import { GroupReader } from './group-reader.js';
import { PauseWatch } from './pause-watch.js';

/** What does the work of a member in one slot. */
export interface SlotAgents {
  readonly reader: GroupReader;
  readonly pauses: PauseWatch;
  readonly reaping: ReaperRounds;
}

/**
 * What an application is to one group: a consumer under one name, for all streams that it reads for the group. One XREADGROUP has one group and one consumer.
 */
export class Membership {
  /** The consumer's name within its group. Unique in the world: two of one name would see each other's entries as their own. */
  readonly name: string;
  readonly #connection: RedisConnection;
  readonly #options: ResolvedStreamsOptions;
  readonly #agents = new Map<number, SlotAgents>();

  constructor(
    connection: RedisConnection,
    options: ResolvedStreamsOptions,
    readonly group: string,
  ) {
    this.#connection = connection;
    this.#options = options;
    this.name = [options.service, hostname(), process.pid, randomBytes(4).toString('hex')].join(':');
  }

  /**
   * The agents for a key; those of its slot, on a Cluster, since one command can't read streams of several.
   * @param stretch so many times as rarely they look for what comes seldom
   */
  agentsOf(key: string, stretch: () => number): SlotAgents {
    const slot = this.#connection.cluster ? hashSlot(key) : 0;
    const existing = this.#agents.get(slot);
    if (existing !== undefined) return existing;
    const [connection, options, { group, name }] = [this.#connection, this.#options, this];
    const reporter = new Reporter(`StreamReader ${group}`, connection.clock);
    // Of one slot they look at everything together.
    const slots = () => (connection.cluster ? Math.max(1, stretch()) : 1);
    const pauses = new PauseWatch(connection, options, reporter, slots);
    const context = { connection, options, group, name };
    const agents: SlotAgents = {
      pauses,
      reader: new GroupReader(context, pauses, reporter),
      reaping: new ReaperRounds(context, reporter, slots),
    };
    this.#agents.set(slot, agents);
    return agents;
  }
}

interface Entered {
  readonly membership: Membership;
  /** Streams that are read under its name, or were: what is left pending in one must not be mistaken for the next consumer's. */
  readonly streams: Set<string>;
  consumers: number;
}

/** The groups that one application is a member of; it has one membership per group, and a further one only if it consumes a stream for the same group twice. */
export class Memberships {
  readonly #connection: RedisConnection;
  readonly #options: ResolvedStreamsOptions;
  readonly #entered: Entered[] = [];

  constructor(connection: RedisConnection, options: ResolvedStreamsOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** Enters a group for a stream, until `leave`. */
  enter(group: string, stream: string): Membership {
    let entered = this.#entered.find(({ membership, streams }) => membership.group === group && !streams.has(stream));
    if (entered === undefined) {
      entered = {
        membership: new Membership(this.#connection, this.#options, group),
        streams: new Set(),
        consumers: 0,
      };
      this.#entered.push(entered);
    }
    entered.streams.add(stream);
    entered.consumers += 1;
    return entered.membership;
  }

  leave(membership: Membership): void {
    const at = this.#entered.findIndex((entered) => entered.membership === membership);
    const entered = this.#entered[at];
    if (entered === undefined) return;
    entered.consumers -= 1;
    if (entered.consumers === 0) this.#entered.splice(at, 1);
  }
}
