import { describeError, hashSlot, Warnings, type Clock, type RedisConnection } from '@redstart/redis-core';
import { delayKeys } from '../keys.js';
import { moveDueScript, type DueMove } from '../scripts/move-due.js';
import { SharedCommand } from '../shared-command.js';
import { DelayQueue } from './delay-queue.js';
import { Round } from './round.js';

export interface DelayMoverOptions {
  /** The budget of one look. */
  readonly commandTimeoutMs: number;
  readonly clock?: Clock;
}

/** How many messages one look moves at most: a script of Redis lets everybody else wait. */
const mostMoved = 200;
/** How many queues one look covers. */
const largestRound = 128;

/**
 * Moves delayed messages to their streams when they are due: one per process, for all its delay queues.
 *
 * Queues enter by `queue`, each into a *round* with others, on a Cluster with those of its slot: one script looks at all of a round. Between `start` and `stop` each round is looked at when
 * the first of its messages is due, as far as this process knows: it knows what it scheduled itself and what the last look found. Messages of others are
 * found by a look each second; with several rounds each of them less often, so that an idle process sends one command a second, on a Cluster two in all. What is due is moved by whichever
 * process looks first; the others find nothing, and no agreement is needed. Before `start` and after `stop` nothing is sent, and messages wait, or are moved by others.
 */
export class DelayMover {
  readonly #connection: RedisConnection;
  readonly #options: DelayMoverOptions;
  readonly #clock: Clock;
  readonly #warnings: Warnings;
  readonly #shared: SharedCommand<DelayQueue>;
  readonly #queues = new Map<string, DelayQueue>();
  readonly #rounds: { slot: number; queues: DelayQueue[]; round: Round }[] = [];
  #running = false;

  constructor(connection: RedisConnection, options: DelayMoverOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#clock = options.clock ?? connection.clock;
    this.#warnings = new Warnings('StreamDelays', connection.clock);
    this.#shared = new SharedCommand(this.#clock, ({ keys: { target } }, error) => {
      this.#tellProblem(target, describeError(error).message);
    });
  }

  /**
   * The delay queue of a stream; the same one each time. From then on this process moves its messages.
   * @param target the key of the stream that messages are moved to
   */
  queue(target: string): DelayQueue {
    const existing = this.#queues.get(target);
    if (existing !== undefined) return existing;
    const slot = this.#connection.cluster ? hashSlot(target) : 0;
    const place = this.#roundFor(slot);
    const queue = new DelayQueue(this.#connection, delayKeys(target), (inMs) => {
      place.round.expect(inMs);
    });
    place.queues.push(queue);
    this.#queues.set(target, queue);
    if (this.#running) place.round.start();
    return queue;
  }

  /** Begins to look at all queues, also at those that come later. */
  start(): void {
    this.#running = true;
    for (const { round } of this.#rounds) round.start();
  }

  /** Resolves when no look is under way any more. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#rounds.map(({ round }) => round.stop()));
  }

  #roundFor(slot: number) {
    const open = this.#rounds.find((candidate) => candidate.slot === slot && candidate.queues.length < largestRound);
    if (open !== undefined) return open;
    const queues: DelayQueue[] = [];
    const round = new Round({
      clock: this.#clock,
      look: () => this.#look(queues),
      idleMs: () => Math.max(1_000, (this.#connection.cluster ? 500 : 1_000) * this.#rounds.length),
    });
    const place = { slot, queues, round };
    this.#rounds.push(place);
    return place;
  }

  async #look(queues: readonly DelayQueue[]) {
    const found = { moved: 0, waitMs: Infinity };
    try {
      await this.#shared.ask(queues, async (some) => {
        const moves = await this.#connection.scripts.run(
          { library: 'redis-streams', operation: 'streams.moveDue', budgetMs: this.#options.commandTimeoutMs },
          moveDueScript,
          some.flatMap(({ keys: { due, delayed, target } }) => [due, delayed, target]),
          [mostMoved],
        );
        moves.forEach((move, at) => {
          this.#tell(move, some[at]?.keys.target ?? '');
          found.moved += move.moved;
          // A queue that can't be moved is looked at again in a second, and does not hurry the others.
          if (move.problem === undefined) found.waitMs = Math.min(found.waitMs, move.waitMs ?? Infinity);
        });
      });
      return found;
    } catch (error) {
      const { message } = describeError(error);
      this.#warnings.warn(message, `${message} (while moving delayed messages; it is tried again)`);
      return undefined;
    }
  }

  #tell({ damaged, problem }: DueMove, target: string): void {
    if (damaged > 0) {
      this.#warnings.warn(
        `damaged ${target}`,
        `${damaged} delayed messages of ${target} were dropped: their content was gone, or not written by redis-streams.`,
      );
    }
    if (problem !== undefined) this.#tellProblem(target, problem);
  }

  #tellProblem(target: string, problem: string): void {
    this.#warnings.warn(
      `problem ${target}`,
      `Delayed messages of ${target} can't be moved when they are due; it is tried again: ${problem}`,
    );
  }
}
