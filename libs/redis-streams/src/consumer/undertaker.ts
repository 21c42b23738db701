import type { Cancel } from '@redstart/redis-core';
import { forgetConsumersScript } from '../scripts/forget-consumers.js';
import { backgroundCall, isGroupGone, type GroupMember } from './group.js';
import type { Reporter } from './reporter.js';
import type { Source } from './source.js';

/** How many rounds fall into the time after which a consumer is forgotten. */
const roundsPerTerm = 6;

/**
 * Removes the records of consumers that are gone: each process has a name of its own, so they would gather for ever.
 *
 * Between `start` and `stop` it *waits* for a round, a little longer or shorter each time, and then looks at each stream. A consumer goes when nobody has heard of it for `forgetConsumersAfter` and nothing is pending
 * under its name; what is pending is taken over by the reaper first. One that was only silent gets its record back with its next read, and has lost nothing.
 */
export class Undertaker {
  readonly #member: GroupMember;
  readonly #sources: readonly Source[];
  readonly #reporter: Reporter;
  #stopped = false;
  #cancel: Cancel = () => undefined;
  #round: Promise<void> = Promise.resolve();

  constructor(member: GroupMember, sources: readonly Source[], reporter: Reporter) {
    this.#member = member;
    this.#sources = sources;
    this.#reporter = reporter;
  }

  start(): void {
    const { connection, options } = this.#member;
    const ms = (options.forgetConsumersAfterMs / roundsPerTerm) * (0.75 + Math.random() / 2);
    this.#cancel = connection.clock.after(
      ms,
      () => {
        this.#round = this.#look().then(() => {
          if (!this.#stopped) this.start();
        });
      },
      { unref: true },
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#round;
  }

  /** Never rejects: the next round tries again. */
  async #look(): Promise<void> {
    const { connection, consumer, name, options } = this.#member;
    for (const { key } of this.#sources) {
      try {
        const args = [consumer.group, name, options.forgetConsumersAfterMs];
        await connection.scripts.run(backgroundCall(this.#member, 'forget'), forgetConsumersScript, [key], args);
      } catch (error) {
        // The reader creates a group that is gone anew.
        if (!isGroupGone(error)) this.#reporter.error('removing the records of consumers that are gone', error);
      }
    }
  }
}
