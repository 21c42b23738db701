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
}

/**
 * Gathers what one tick asks of its locks, and asks for it in one script, in the same order.
 *
 * - *empty*: nothing is asked for.
 * - *open*: from the first question on, for every question on the same terms and with the same wake-up channel. A question on others closes it, and so do the largest
 *   number of locks, `flush`, and the end of the tick, when all its microtasks have run.
 *
 * It is sent then, and empty again. A question whose asker was stopped meanwhile is not sent. What fails as a whole is asked for one by one, so that what is wrong with
 * one lock (a key of another type, a missing permission) is told to its own caller only; an outage is told to all.
 */
export class TickBatch<Terms, Answer> {
  #questions: Question<Answer>[] = [];
  /** Of the open batch. */
  #terms: Terms | undefined;
  #wake = '';
  #endsWithTick = false;

  constructor(private readonly options: TickBatchOptions<Terms, Answer>) {}

  ask(lock: OwnedLock, terms: Terms, asker?: Asker): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (!this.#takes(lock, terms)) this.flush();
      this.#terms ??= terms;
      this.#wake = lock.keys.wake;
      this.#questions.push({ lock, asker, resolve, reject });
      if (this.#questions.length === mostLocks) this.flush();
      else this.#endWithTick();
    });
  }

  /** Sends what is asked for so far: before a command that must not overtake it. */
  flush(): void {
    const terms = this.#terms;
    if (terms === undefined) return;
    const questions = this.#questions;
    this.#questions = [];
    this.#terms = undefined;
    this.options.first?.();
    void this.#send(questions.filter(isStillAsked), terms);
  }

  #takes(lock: OwnedLock, terms: Terms): boolean {
    return this.#terms === undefined || (this.options.alike(terms, this.#terms) && lock.keys.wake === this.#wake);
  }

  #endWithTick(): void {
    if (this.#endsWithTick) return;
    this.#endsWithTick = true;
    process.nextTick(this.#endTick);
  }

  readonly #endTick = (): void => {
    this.#endsWithTick = false;
    this.flush();
  };

  async #send(questions: readonly Question<Answer>[], terms: Terms): Promise<void> {
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
