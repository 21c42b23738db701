import type { Cancel } from '@redstart/redis-core';
import { claimScript } from '../scripts/claim.js';
import { SharedCommand } from '../shared-command.js';
import { backgroundCall } from './group.js';
import type { ReaderContext } from './reader/read-connection.js';
import { sweeping, type Reaper } from './reaper.js';
import type { Reporter } from './reporter.js';

/** So many parts are looked at by one script. */
const largestRound = 50;
/** So much arrives within the time of a command, also over a slow network. */
const largestClaimBytes = 4 * 1024 * 1024;

/**
 * When the reapers of a group look for entries that nobody has renewed for minIdle, and how: together.
 *
 * Between two rounds it *waits*, a little longer or shorter each time, so that the consumers of a group don't sweep together. In a *round* one script looks at the streams of fifty parts, of each for as many entries as its consumer has
 * free slots; whoever finds more than that goes on by himself. While there are no reapers it rests.
 */
export class ReaperRounds {
  readonly #context: ReaderContext;
  readonly #reporter: Reporter;
  readonly #stretch: () => number;
  readonly #shared: SharedCommand<Reaper>;
  readonly #reapers = new Set<Reaper>();
  #cancel: Cancel = () => undefined;
  #round: Promise<void> | undefined;

  /** @param stretch so many times as rarely a round comes */
  constructor(context: ReaderContext, reporter: Reporter, stretch: () => number) {
    this.#context = context;
    this.#reporter = reporter;
    this.#stretch = stretch;
    this.#shared = new SharedCommand(context.connection.clock, (reaper, error) => {
      reaper.restart();
      const key = reaper.sources[0]?.key ?? '';
      reporter.error(`${sweeping}, and their retries, of ${key}`, error, `claim ${key}`);
    });
  }

  add(reaper: Reaper): void {
    this.#reapers.add(reaper);
    if (this.#reapers.size === 1 && this.#round === undefined) this.#wait();
  }

  /** Resolves when nothing is being taken over for the reaper any more. */
  async delete(reaper: Reaper): Promise<void> {
    this.#reapers.delete(reaper);
    if (this.#reapers.size === 0) this.#cancel();
    await this.#round;
  }

  /**
   * Takes over entries for some reapers.
   * @returns those that have room for any
   * @see  one script of XAUTOCLAIM and XPENDING
   */
  async claim(reapers: readonly Reaper[]): Promise<readonly Reaper[]> {
    const asking = reapers.filter(({ room }) => room.entries > 0);
    if (asking.length === 0) return asking;
    try {
      await this.#shared.ask(asking, (some) => this.#claim(some));
    } catch (error) {
      for (const reaper of asking) reaper.restart();
      this.#reporter.error(sweeping, error);
    }
    return asking;
  }

  async #claim(reapers: readonly Reaper[]): Promise<void> {
    const { connection, group, name, options } = this.#context;
    const keys = reapers.flatMap(({ sources }) => sources.map(({ key }) => key));
    // Partitions of one consumer share its slots.
    const consumers = [...new Set(reapers.map(({ dispatcher }) => dispatcher))];
    const allowances = consumers.flatMap((consumer) => {
      const room = reapers.find(({ dispatcher }) => dispatcher === consumer)?.room;
      return [room?.entries ?? 0, room?.bytes ?? 0];
    });
    const cursors = reapers.flatMap(({ cursors: ofPart, dispatcher }) =>
      ofPart.flatMap((cursor) => [consumers.indexOf(dispatcher) + 1, cursor]),
    );
    const askedAt = connection.clock.now();
    const claimed = await connection.scripts.run(backgroundCall({ options }, 'claim'), claimScript, keys, [
      group,
      name,
      options.minIdleMs,
      largestClaimBytes,
      consumers.length,
      ...allowances,
      ...cursors,
    ]);
    for (const reaper of reapers) reaper.take(claimed.splice(0, reaper.sources.length), askedAt);
  }

  #wait(): void {
    const { connection, options } = this.#context;
    this.#cancel();
    const ms = options.claimIntervalMs * this.#stretch() * (0.75 + Math.random() / 2);
    this.#cancel = connection.clock.after(
      ms,
      () => {
        this.#round = this.#go().finally(() => {
          this.#round = undefined;
          if (this.#reapers.size > 0) this.#wait();
        });
      },
      { unref: true },
    );
  }

  /** Never rejects: the next round tries again. */
  async #go(): Promise<void> {
    const due = [...this.#reapers].filter(({ sweeping }) => !sweeping);
    for (let from = 0; from < due.length; from += largestRound) {
      const some = due.slice(from, from + largestRound);
      for (const reaper of await this.claim(some)) reaper.goOn();
    }
  }
}
