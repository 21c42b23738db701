import { lastValueFrom } from 'rxjs';
import { StreamRecord, type RedisStreamsClient } from '../../../src/transport/index.js';
import type { Ledger } from '../ledger/ledger.js';
import { noticePattern, type Notice } from './notices.js';
import type { Pace } from './pace.js';
import { publishSurely } from './publish-surely.js';

/** Between two notices. */
const paceMs = 20;
/** Every so many notices one fails at first. */
const failingEvery = 20;

/** Emits events by a Nest client, each when the one before it is in Redis, from its construction to `rest`. */
export class NoticePublisher {
  readonly #resting = new AbortController();
  readonly #ended: Promise<void>;

  constructor(
    private readonly name: string,
    private readonly client: RedisStreamsClient,
    private readonly ledger: Ledger,
    private readonly wave: string,
    private readonly pace: Pace,
  ) {
    this.#ended = this.#run();
  }

  /** Resolves when everything under way has its outcome. */
  async rest(): Promise<void> {
    this.#resting.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    for (let number = 1; !this.#resting.signal.aborted; number += 1) {
      if (!(await this.#publish(number))) return;
      await this.pace.pause(paceMs);
    }
  }

  /** @returns false when it failed for good */
  #publish(number: number): Promise<boolean> {
    const { wave } = this;
    const message = `${this.name}-n${number}`;
    const notice: Notice = { wave, message, fate: number % failingEvery === 7 ? 'fails once' : 'works' };
    const record = new StreamRecord(notice, { messageId: `${wave}:${message}` });
    const publish = () => lastValueFrom(this.client.emit(noticePattern, record), { defaultValue: undefined });
    return publishSurely(this.ledger, { wave, message, publish });
  }
}
