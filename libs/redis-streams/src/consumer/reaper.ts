import type { Cancel } from '@redstart/redis-core';
import { claimScript } from '../scripts/claim.js';
import type { ConsumerCounters } from './counters.js';
import type { Dispatcher } from './dispatcher.js';
import { backgroundCall, isGroupGone, type GroupMember } from './group.js';
import type { Reporter } from './reporter.js';

/** After how many calls that found nothing a sweep pauses: XAUTOCLAIM looks at ten times as many rows as it may return, so a long list takes several. */
const mostVainCalls = 10;
const largestClaim = 100;

/**
 * Takes over what nobody has renewed for minIdle: the entries of consumers that died, and those whose handler failed a while ago.
 *
 * Between two sweeps it *waits*, a little longer or shorter each time, so that the consumers of a group don't sweep together. A *sweep* goes through the pending list with
 * XAUTOCLAIM, never asks for more entries than slots are free, and in between waits for a slot: so a long backlog is worked off at the pace of the handlers. It ends with the list, or
 * after ten calls that found nothing, and the next one goes on where it ended. It does not begin while no slot is free: another consumer may have one.
 * Entries that were trimmed while they were pending are told, loudly, since nobody will ever handle them. `stop` lets a call that is under way finish.
 */
export class Reaper {
  readonly #member: GroupMember;
  readonly #dispatcher: Dispatcher;
  readonly #counters: ConsumerCounters;
  readonly #reporter: Reporter;
  #cursor = '0-0';
  readonly #stopping = new AbortController();
  #cancel: Cancel = () => undefined;
  #sweeping: Promise<void> = Promise.resolve();

  constructor(member: GroupMember, dispatcher: Dispatcher, counters: ConsumerCounters, reporter: Reporter) {
    this.#member = member;
    this.#dispatcher = dispatcher;
    this.#counters = counters;
    this.#reporter = reporter;
  }

  start(): void {
    this.#wait();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancel();
    await this.#sweeping;
  }

  #wait(): void {
    const { connection, options } = this.#member;
    const ms = options.claimIntervalMs * (0.75 + Math.random() / 2);
    this.#cancel = connection.clock.after(
      ms,
      () => {
        this.#sweeping = this.#sweep().then(() => {
          if (!this.#stopping.signal.aborted) this.#wait();
        });
      },
      { unref: true },
    );
  }

  /** Never rejects: the next sweep tries again. */
  async #sweep(): Promise<void> {
    try {
      for (let vain = 0; vain < mostVainCalls && this.#dispatcher.free > 0;) {
        vain = (await this.#claim(Math.min(this.#dispatcher.free, largestClaim))) > 0 ? 0 : vain + 1;
        if (this.#cursor === '0-0') return;
        await this.#dispatcher.whenFree(this.#stopping.signal);
        if (this.#stopping.signal.aborted) return;
      }
    } catch (error) {
      this.#cursor = '0-0';
      // The reader creates a group that is gone anew.
      if (!isGroupGone(error)) this.#reporter.error('looking for entries of dead consumers', error);
    }
  }

  /** @returns how many entries it took over */
  async #claim(count: number): Promise<number> {
    const { connection, keys, consumer, name, options } = this.#member;
    const { cursor, entries, trimmed } = await connection.scripts.run(
      backgroundCall(this.#member, 'claim'),
      claimScript,
      [keys.stream],
      [consumer.group, name, options.minIdleMs, this.#cursor, count],
    );
    this.#cursor = cursor;
    this.#counters.claimed += entries.length;
    this.#dispatcher.accept(entries);
    if (trimmed.length === 0) return entries.length;
    this.#counters.trimmed += trimmed.length;
    this.#reporter.warn(
      'trimmed',
      `${trimmed.length} entries of "${consumer.stream.name}" were trimmed or deleted before the group "${consumer.group}" had handled them.`,
    );
    return entries.length;
  }
}
