import { inspect } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisUnavailableError } from '@redstart/redis-core';
import type { StreamProducer } from '../../../src/index.js';
import type { Ledger } from '../ledger/ledger.js';
import { machineNow, type Effect, type Line } from '../ledger/line.js';
import { effectOf, fateOf, publishOptionsOf, typeOf, type orders } from './orders-stream.js';
import type { Pace } from './pace.js';
import { publishSurely } from './publish-surely.js';

const tickMs = 10;
/** More than this is never under way: through an outage nothing piles up. */
const mostInFlight = 200;

/**
 * Publishes at a steady pace from its construction to `rest`, and tells the ledger of every outcome. A message with an id of its own is published again until that has succeeded; one without is not, since nobody could tell whether it would be there twice.
 */
export class Publisher {
  readonly #resting = new AbortController();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #ended: Promise<void>;
  #number = 0;

  constructor(
    private readonly name: string,
    private readonly producer: StreamProducer<typeof orders>,
    private readonly ledger: Ledger,
    private readonly wave: string,
    private readonly perSecond: number,
    private readonly pace: Pace,
  ) {
    this.#ended = this.#run();
  }

  /** Resolves when everything under way has its outcome. */
  async rest(): Promise<void> {
    this.#resting.abort();
    await this.#ended;
    await Promise.all(this.#inFlight);
  }

  async #run(): Promise<void> {
    let last = machineNow();
    let due = 0;
    while (!this.#resting.signal.aborted) {
      const now = machineNow();
      due = Math.min(due + ((now - last) * this.perSecond * this.pace.share) / 1_000, mostInFlight);
      last = now;
      for (; due >= 1 && this.#inFlight.size < mostInFlight; due -= 1) this.#begin();
      await sleep(tickMs);
    }
  }

  #begin(): void {
    this.#number += 1;
    const published = this.#publish(this.#number).finally(() => this.#inFlight.delete(published));
    this.#inFlight.add(published);
  }

  async #publish(number: number): Promise<void> {
    const { wave } = this;
    const message = `${this.name}-${number}`;
    const type = typeOf(number);
    const payload = { wave, message, fate: fateOf(number) };
    const options = publishOptionsOf(number, `${wave}:${message}`);
    const publish = () => this.producer.publish(type, payload, options);
    if (options.messageId === undefined) return this.#publishOnce(message, effectOf(type), publish);
    await publishSurely(this.ledger, { wave, message, effect: effectOf(type), delay: options.delay, publish });
  }

  async #publishOnce(message: string, effect: Effect | undefined, publish: () => Promise<unknown>): Promise<void> {
    const startedAt = machineNow();
    try {
      await publish();
      const at = machineNow();
      await this.ledger.say(this.wave, { what: 'published', message, attempt: 1, startedAt, at, effect });
    } catch (error) {
      const line: Line =
        error instanceof RedisUnavailableError
          ? { what: 'rejected', message, outcome: error.outcome, at: machineNow() }
          : { what: 'failed', message, error: inspect(error) };
      await this.ledger.say(this.wave, line);
    }
  }
}
