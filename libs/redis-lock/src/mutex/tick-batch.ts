import { RedisCommandError } from '@redstart/redis-core';
import { mostLocks, type OwnedLock, type OwnedLocks } from '../scripts/each-lock.js';

/** Whoever asks may have changed their mind by the time the question is sent. */
export interface Asker {
  /** @throws what the asker was stopped for */
  throwIfStopped(): void;
}

interface Question<Answer> {
  readonly lock: OwnedLock;
  readonly asker: Asker | undefined;
  readonly resolve: (answer: Answer | Promise<Answer>) => void;
  readonly reject: (reason: unknown) => void;
}

export interface TickBatchOptions<Terms, Answer> {
  /** Asks for all of them in one script. Answers `undefined` where only asking for that lock alone tells what is wrong with it. */
  readonly send: (locks: OwnedLocks, terms: Terms) => Promise<readonly (Answer | undefined)[]>;
  /** Whether questions on these terms may share a script. */
  readonly alike: (some: Terms, others: Terms) => boolean;
  /** Sends what must not be overtaken by this batch. */
  readonly first?: () => void;
  /** Told of the first question; it sees to it that the batch is sent. */
  readonly onOpen: () => void;
}

/**
 * Gathers questions about locks, to be asked in one script, in the same order.
 *
 * - *empty*: nothing is asked for.
 * - *open*: from the first question on, which it tells to `onOpen`, for every question on the same terms and with the same wake-up channel. A question on others has the
 *   open ones sent first; `send` and `flush` send them, too.
 *
 * A question whose asker was stopped meanwhile is not sent. What fails as a whole is asked for one by one, so that what is wrong with
 * one lock (a key of another type, a missing permission) is told to its own caller only; an outage is told to all.
 */
export class TickBatch<Terms, Answer> {
  #questions: Question<Answer>[] = [];
  /** Of the open batch. */
  #terms: Terms | undefined;
  #wake = '';

  constructor(private readonly options: TickBatchOptions<Terms, Answer>) {}

  get size(): number {
    return this.#questions.length;
  }

  ask(lock: OwnedLock, terms: Terms, asker?: Asker): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (!this.#takes(lock, terms)) this.flush();
      if (this.#terms === undefined) this.options.onOpen();
      this.#terms ??= terms;
      this.#wake = lock.keys.wake;
      this.#questions.push({ lock, asker, resolve, reject });
    });
  }

  /** Sends all that is asked for so far: at the end, and before a command that must not overtake it. */
  flush(): void {
    this.send(this.#questions.length);
  }

  /** Sends the oldest questions. @returns how many those were */
  send(most: number): number {
    const terms = this.#terms;
    if (terms === undefined || most <= 0) return 0;
    const leaving = this.#questions.splice(0, most);
    if (this.#questions.length === 0) this.#terms = undefined;
    this.options.first?.();
    const asked = leaving.filter(isStillAsked);
    for (let at = 0; at < asked.length; at += mostLocks) void this.#ask(asked.slice(at, at + mostLocks), terms);
    return leaving.length;
  }

  #takes(lock: OwnedLock, terms: Terms): boolean {
    return this.#terms === undefined || (this.options.alike(terms, this.#terms) && lock.keys.wake === this.#wake);
  }

  async #ask(questions: readonly Question<Answer>[], terms: Terms): Promise<void> {
    const [first, ...more] = questions;
    if (first === undefined) return;
    try {
      const answers = await this.options.send([first.lock, ...more.map(({ lock }) => lock)], terms);
      questions.forEach((question, index) => {
        question.resolve(answers[index] ?? this.#askAlone(question, terms));
      });
    } catch (error) {
      const isOfOne = more.length > 0 && error instanceof RedisCommandError;
      for (const question of questions) {
        if (isOfOne) question.resolve(this.#askAlone(question, terms));
        else question.reject(error);
      }
    }
  }

  async #askAlone({ lock, asker }: Question<Answer>, terms: Terms): Promise<Answer> {
    asker?.throwIfStopped();
    const [answer] = await this.options.send([lock], terms);
    if (answer === undefined) throw new TypeError(`Nothing was answered about "${lock.keys.holder}".`);
    return answer;
  }
}

function isStillAsked<Answer>({ asker, reject }: Question<Answer>): boolean {
  try {
    asker?.throwIfStopped();
    return true;
  } catch (reason) {
    reject(reason);
    return false;
  }
}
