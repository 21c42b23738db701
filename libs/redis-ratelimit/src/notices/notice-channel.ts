import {
  RedisCommandError,
  RedisUnavailableError,
  Warnings,
  type RedisConnection,
  type SubscriptionHandlers,
} from '@redstart/redis-core';
import { callOf } from '../deciding/call-of.js';

/** After a failure to listen. */
const retryMs = 10_000;

/**
 * Notices among the processes of an application, by Pub/Sub, which keeps nothing for who is not there.
 *
 * - *deaf*: until somebody wants to hear, and for 10 s after a failure to.
 * - *about to listen*: nothing is heard yet, so nobody may rely on it.
 * - *listening*: for as long as the connection is there. Whatever may have been missed is told as a gap, what came before included.
 */
export class NoticeChannel {
  #state: 'deaf' | 'about to listen' | 'listening' = 'deaf';
  #listenAgainAtMs = -Infinity;
  readonly #warnings: Warnings;

  constructor(
    private readonly connection: RedisConnection,
    private readonly channel: string,
    private readonly budgetMs: number,
    private readonly handlers: Required<SubscriptionHandlers>,
  ) {
    this.#warnings = new Warnings('RedisRateLimit', connection.clock);
  }

  get listening(): boolean {
    return this.#state === 'listening';
  }

  listen(): void {
    const { clock, subscriber } = this.connection;
    if (this.#state !== 'deaf' || clock.now() < this.#listenAgainAtMs) return;
    this.#state = 'about to listen';
    // The subscription ends with the connection.
    subscriber.subscribe(this.channel, this.handlers).then(
      () => {
        this.#state = 'listening';
        this.handlers.onGap();
      },
      () => {
        this.#state = 'deaf';
        this.#listenAgainAtMs = clock.now() + retryMs;
      },
    );
  }

  /**
   * Resolves when Redis has passed it on. Never rejects because Redis is away or refuses: what the notice tells of has been done already, and what others derive from notices ends by itself
   * soon. A refusal, for lack of a permission as a rule, is logged.
   */
  async tell(operation: string, message: string): Promise<void> {
    try {
      await this.connection.call(callOf(operation, this.budgetMs), (client) =>
        this.connection.subscriber.publish(client, this.channel, message),
      );
    } catch (error) {
      if (error instanceof RedisUnavailableError) return;
      if (!(error instanceof RedisCommandError)) throw error;
      this.#warnings.warn(
        `notice ${this.channel}`,
        `Other processes can't be told on the channel "${this.channel}", so they go by what they know for a while longer. With ACLs allow the channel. ${error.message}`,
      );
    }
  }
}
