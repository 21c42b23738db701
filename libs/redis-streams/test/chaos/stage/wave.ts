import { eventually } from '@redstart/redis-testing';
import { judge, outstanding } from '../ledger/judge.js';
import { machineNow } from '../ledger/line.js';
import { WaveRecord, type Stall } from '../ledger/wave-record.js';
import { lapses } from '../member/lapse-watch.js';
import type { MemberProcess } from '../member/member-orders.js';
import type { Crew } from './crew.js';
import type { StreamView } from './stream-view.js';
import { minIdleMs } from './timing.js';
import { totalsOf, type WaveTotals } from './wave-totals.js';

/** How long everything that is disturbed may take to come to order again, on a busy machine; and how often it is looked, by the process that also carries all traffic of the members to Redis. */
const patience = { within: 120_000, every: 100 };

export interface WaveParts {
  readonly crew: Crew;
  readonly view: StreamView;
}

/** How long it took after one fault, in ms. */
export interface Recovery {
  /** Until a message was handled that was published after the fault. */
  readonly flowsAfter: number;
  /** Until everything was handled that was acknowledged before its end. */
  readonly settledAfter: number;
}

/**
 * The messages that are under way while one fault strikes.
 *
 * - *flowing*: from `begin` on: both producers publish at a steady pace, and four consumers handle.
 * - *settled*: after `end`: nobody publishes, everything has been handled. `findings` tells whether the library has kept its word.
 */
export class Wave {
  readonly recoveries: Recovery[] = [];
  readonly #record = new WaveRecord();
  readonly #killed: Stall[] = [];
  #lostUntil: number | undefined;
  #faultEndedAt: number | undefined;

  private constructor(
    readonly name: string,
    private readonly parts: WaveParts,
    private readonly perSecond: number,
  ) {}

  static async begin(name: string, parts: WaveParts, perSecond: number): Promise<Wave> {
    const wave = new Wave(name, parts, perSecond);
    await parts.crew.muster();
    await parts.crew.all(parts.crew.producers, { order: 'publish', wave: name, perSecond });
    await wave.flows();
    return wave;
  }

  get crew(): Crew {
    return this.parts.crew;
  }

  get view(): StreamView {
    return this.parts.view;
  }

  /** After its end. */
  async totals(): Promise<WaveTotals> {
    const state = await this.view.stateOf(this.name);
    const { recoveries } = this;
    return totalsOf(this.#record, state, { addedAgain: this.view.addedAgain, recoveries });
  }

  async record(): Promise<WaveRecord> {
    const { ledger } = this.crew;
    this.#record.add(await ledger.read(this.name, this.#record.lines));
    this.#record.add(await ledger.read(lapses, this.#record.stalls.length + this.#record.cutOffs.length));
    return this.#record;
  }

  /** Messages that are published from now on are handled. @returns after how many ms the first one was */
  async flows(since = machineNow()): Promise<number> {
    return eventually(async () => {
      const at = (await this.record()).firstHandledOf(since);
      if (at === undefined) throw new Error('Nothing is handled that was published after the fault.');
      return at - since;
    }, patience);
  }

  /** At least so many have been published. @returns how many */
  async reaches(messages: number): Promise<number> {
    return eventually(async () => {
      const { size } = (await this.record()).published;
      if (size < messages) throw new Error(`Only ${size} of ${messages} messages were published.`);
      return size;
    }, patience);
  }

  /** The consumer takes entries, of the stream and of a partition, and finishes none: what it works on is known, and stays its own until it is taken from it. */
  async holdsBack(consumer: MemberProcess): Promise<void> {
    await consumer.do({ order: 'hold' });
    await eventually(async () => {
      const { whole, partitioned } = await this.view.pendingOf(consumer.pid);
      if (whole >= 5 && partitioned >= 1) return;
      throw new Error(
        `${consumer.name} works on ${whole} entries of the stream, and ${partitioned} of its partitions.`,
      );
    }, patience);
  }

  /** A consumer that owns a partition, another one each time as far as there are. */
  async owner(turn: number): Promise<MemberProcess> {
    return eventually(async () => {
      const alive = this.crew.consumers.filter((member) => member.alive);
      const pid = await this.view.ownerOf(turn, alive.length);
      const owner = alive.find((member) => member.pid === pid);
      if (owner === undefined) throw new Error(`Nobody owns the partition of turn ${turn} for good yet.`);
      return owner;
    }, patience);
  }

  /** Others have taken over what the consumer had, all of it. */
  async takenFrom(consumer: MemberProcess): Promise<void> {
    await eventually(async () => {
      const { whole, partitioned } = await this.view.pendingOf(consumer.pid);
      if (whole + partitioned > 0) {
        throw new Error(`${whole} entries, and ${partitioned} of partitions, are still with ${consumer.name}.`);
      }
    }, patience);
  }

  /** SIGKILL, and another process comes to its place. */
  async kill(member: MemberProcess): Promise<void> {
    this.#killed.push({ by: member.name, from: machineNow(), at: Infinity });
    await member.kill();
  }

  async replace(dead: MemberProcess): Promise<void> {
    const isProducer = this.crew.producers.includes(dead);
    const recruit = await this.crew.replace(dead);
    if (isProducer) await recruit.do({ order: 'publish', wave: this.name, perSecond: this.perSecond });
  }

  /** Redis itself loses what was published before the end of `work`. */
  async loses(work: () => Promise<unknown>): Promise<void> {
    await work();
    this.#lostUntil = machineNow();
  }

  /** From here on the time to recover is counted; without it, from the end of the injection. */
  faultEnds(): void {
    this.#faultEndedAt = machineNow();
  }

  /** Waits for the end of what a fault has caused, and writes down how long that took since the fault was over. */
  async recovers(): Promise<void> {
    const since = this.#faultEndedAt ?? machineNow();
    this.#faultEndedAt = undefined;
    const flowsAfter = await this.flows(since);
    await eventually(async () => {
      const before = await this.#outstandingOf(since);
      if (before.length > 0) throw new Error(`Not handled: ${before.length}, such as ${before.slice(0, 3).join(', ')}`);
    }, patience);
    this.recoveries.push({ flowsAfter, settledAfter: machineNow() - since });
  }

  /** Nobody publishes any more, and everything has been handled: pending 0, lag 0, nothing waits for its time. */
  async end(): Promise<void> {
    const { crew, view } = this;
    await crew.all(crew.consumers, { order: 'let-go' });
    await crew.all(crew.producers, { order: 'rest' });
    await view.addAgain(this.name);
    await eventually(async () => {
      const left = Object.entries(await view.backlog()).filter(([, count]) => count > 0);
      if (left.length > 0) throw new Error(left.map(([what, count]) => `${count} ${what}`).join(', '));
    }, patience);
    // What has been acknowledged was written to the ledger before; and whether anybody was cut off, as soon as Redis answers again.
    await crew.all(crew.members, { order: 'hear' });
    await this.record();
  }

  /** All that is against the promises of the library until now, in words. */
  async findings(): Promise<string[]> {
    const state = await this.view.stateOf(this.name);
    const excuses = {
      killed: this.#killed,
      leaseMs: minIdleMs,
      ...(this.#lostUntil !== undefined && { lostUntil: this.#lostUntil }),
    };
    return [...judge(await this.record(), state, excuses), ...this.crew.complaints];
  }

  /** Makes room for the next one. */
  async clear(): Promise<void> {
    await this.view.trim(this.name);
    await this.crew.ledger.forget(this.name);
  }

  /** Of what was published before a moment. */
  async #outstandingOf(before: number): Promise<string[]> {
    const { published } = await this.record();
    const open = outstanding(this.#record, new Set(), this.#lostUntil).filter(
      (message) => (published.get(message)?.at ?? Infinity) < before,
    );
    const done = await this.view.doneAmong(this.name, open);
    return open.filter((message) => !done.has(message));
  }
}
