import { RedisUnavailableError } from '@redstart/redis-core';
import { trialScript, writeCount } from '../scripts/trial.js';
import { EntryQueue } from './entry-queue.js';
import { backgroundCall, type GroupMember } from './group.js';
import type { HeldEntry } from './held-entry.js';
import { backoffMs, pause } from './pause.js';

/** After so many trials that did not come to an end a message is given up: one alone may have ended with a process that was killed for another reason. */
const mostTrials = 3;

/**
 * Whether an entry is to be tried: delivered so often without an outcome that it may kill its consumers. So may any other one that was here each time, begun or not, and only a trial tells which.
 */
export function isSuspect({ deliveries, source, trials }: HeldEntry): boolean {
  return deliveries > source.member.options.maxDeliveries && trials < mostTrials;
}

/** Whether it has been tried, and there is no hope for it. */
export function isHopeless({ deliveries, source, trials }: HeldEntry): boolean {
  return deliveries > source.member.options.maxDeliveries && trials >= mostTrials;
}

/**
 * Lets one suspect of a process begin at a time, whoever of its consumers has it: two beside each other would die together, and nobody could tell of which.
 *
 * It is *open*, or *taken* by an entry, from when that gets its slot until its handler has ended or was given up, or the entry is not held here any more, or lost. Those who wait are told when it opens, in turn, until one has taken it.
 */
export class TrialGate {
  #taken: HeldEntry | undefined;
  readonly #waiting = new Set<() => void>();

  get open(): boolean {
    return this.#taken === undefined;
  }

  /** @returns whether the entry may begin */
  enter(entry: HeldEntry): boolean {
    this.#taken ??= entry;
    return this.#taken === entry;
  }

  /** Nothing changes where the gate is not taken by this entry. */
  leave(entry: HeldEntry): void {
    if (this.#taken !== entry) return;
    this.#taken = undefined;
    for (const opened of [...this.#waiting]) {
      if (!this.open) return;
      opened();
    }
  }

  /** From now on, and as the last one. @param opened may enter, and may stop waiting */
  wait(opened: () => void): void {
    this.#waiting.delete(opened);
    this.#waiting.add(opened);
  }

  stopWaiting(opened: () => void): void {
    this.#waiting.delete(opened);
  }
}

/** The suspects of one consumer that wait for the gate of the process, first come, first served. */
export class WaitingSuspects {
  readonly #gate: TrialGate;
  readonly #opened: () => void;
  readonly #queue = new EntryQueue();

  /** @param opened told when the next one may go */
  constructor(gate: TrialGate, opened: () => void) {
    this.#gate = gate;
    this.#opened = opened;
  }

  get size(): number {
    return this.#queue.size;
  }

  /** @returns whether the entry may begin, as everything that is no suspect; otherwise it waits here */
  admit(entry: HeldEntry): boolean {
    const admitted = !isSuspect(entry) || this.#gate.enter(entry);
    if (!admitted) this.#queue.push(entry);
    // Also of one that was admitted: another consumer's turn comes before the next one of this.
    if (isSuspect(entry)) this.#wait();
    return admitted;
  }

  /** The next one, if the gate is open. */
  next(): HeldEntry | undefined {
    const entry = this.#gate.open ? this.#queue.shift() : undefined;
    // Who asked may keep it for other reasons.
    if (entry !== undefined && this.size === 0) this.#gate.stopWaiting(this.#opened);
    return entry;
  }

  /** Takes out those that a condition holds for. */
  take(condition: (entry: HeldEntry) => boolean): HeldEntry[] {
    const taken = this.#queue.take(condition);
    if (taken.length > 0) this.#wait();
    return taken;
  }

  #wait(): void {
    if (this.size > 0) this.#gate.wait(this.#opened);
    else this.#gate.stopWaiting(this.#opened);
  }
}

/**
 * Notes in Redis that a suspect begins, so that it is known when it does not end. Asks until Redis has answered: given back, it would come again behind those of its key.
 *
 * @returns whether it may begin: it is noted, still ours, and somebody waits for it
 * @throws RedisCommandError when Redis refuses it
 */
export async function beginTrial(member: GroupMember, entry: HeldEntry): Promise<boolean> {
  const { connection, consumer, name } = member;
  const { deliveries, id, source, trials } = entry;
  const args = [consumer.group, name, id, writeCount({ deliveries, trials: trials + 1 })];
  const wanted = () => !entry.lost && !entry.aborted && source.holds();
  for (let failures = 1; wanted(); failures += 1) {
    try {
      const noted = await connection.scripts.run(backgroundCall(member, 'trial'), trialScript, [source.key], args);
      return noted && wanted();
    } catch (error) {
      if (!(error instanceof RedisUnavailableError)) throw error;
    }
    await pause(connection.clock, backoffMs(failures), entry.signal);
  }
  return false;
}
