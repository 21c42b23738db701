import type { INestApplicationContext } from '@nestjs/common';
import { checkKnownKeys, checkText, durationMs, type Duration, type RedisCall } from '@redstart/redis-core';
import type { DeadLetterReason } from '../consumer/dead-letter.js';
import type { StreamDefinition } from '../definition/define-stream.js';
import { partitionKeys } from '../keys.js';
import { decodeEnvelope, type Envelope } from '../message/envelope.js';
import type { Publication } from '../scripts/publish.js';
import { RedisStreams } from '../streams.service.js';
import { getStreamsToken } from '../streams.tokens.js';
import type { MessageOutcome } from '../telemetry/consumer-telemetry.js';
import { ExpectationNotMetError } from './expectation.error.js';

/** A message of which something is expected: what `publish` returned, the id of its entry, its message id, or what holds for it. */
export type Expected = Publication | string | ((message: ObservedMessage) => boolean);

/** A message, and what became of it in one group. */
export interface ObservedMessage {
  readonly stream: string;
  readonly group: string;
  /** The id of its entry. */
  readonly id: string;
  readonly outcome: MessageOutcome['outcome'];
  /** Which run this was, 1 for the first. */
  readonly attempt: number;
  /** Why it was given up. */
  readonly reason: DeadLetterReason | undefined;
  /** `undefined` when it can't be decoded. */
  readonly message: Envelope | undefined;
}

export interface StreamsHarnessOptions {
  /** Which RedisStreamsModule. @default 'default' */
  name?: string;
  /** How long an expectation waits at most. @default '10s' */
  within?: Duration;
  /** Whether messages that failed come again at once instead of after their backoff. @default true */
  hurryRetries?: boolean;
}

/** So many outcomes are remembered. */
const remembered = 10_000;
const budgetMs = 5_000;
/** A message that was acknowledged will neither fail nor be given up. */
const ends = ['handled', 'duplicate', 'unhandled'] as const;

/**
 * Waits for what the consumers of a test's application do with messages, against a real Redis. No sleeps: an expectation that is met already resolves at once, one that can't be met any more
 * rejects at once, and retries don't wait for their backoff.
 *
 * It *observes* the application from `of` on until `close`, and remembers: so a message may be published and handled before it is expected.
 *
 * @example
 * using harness = StreamsHarness.of(app);
 * const order = await producer.publish('order.created', { id: 1 });
 * await harness.expectHandled(orders, 'billing', order);
 */
export class StreamsHarness implements Disposable {
  readonly #streams: RedisStreams;
  readonly #withinMs: number;
  readonly #observer: (outcome: MessageOutcome) => void;
  #seen: ObservedMessage[] = [];
  #changed: (() => void)[] = [];

  /** @throws OptionsError for wrong options */
  static of(app: INestApplicationContext, options: StreamsHarnessOptions = {}): StreamsHarness {
    return new StreamsHarness(app, options);
  }

  private constructor(app: INestApplicationContext, options: StreamsHarnessOptions) {
    checkKnownKeys(options, ['name', 'within', 'hurryRetries'], 'StreamsHarness.of(_, options)');
    const { name, within = '10s', hurryRetries = true } = options;
    this.#streams = app.get<RedisStreams>(getStreamsToken(name), { strict: false });
    this.#withinMs = durationMs(within, 'StreamsHarness.of(_, { within })');
    this.#observer = (outcome) => {
      void this.#observe(outcome);
      if (hurryRetries && outcome.outcome === 'retried') void this.#hurry(outcome);
    };
    this.#streams.telemetry.observers.add(this.#observer);
  }

  /** What has been observed, the oldest first. */
  get observed(): readonly ObservedMessage[] {
    return this.#seen;
  }

  /**
   * Resolves when the group has handled the message: its handler has succeeded, and it is acknowledged; or an idempotent one had before.
   * @throws ExpectationNotMetError when it is given up instead, or the time is over
   */
  expectHandled(stream: StreamDefinition, group: string, expected: Expected): Promise<ObservedMessage> {
    return this.#expect(['handled', 'duplicate'], stream, group, expected, ['dead-lettered', 'unhandled']);
  }

  /**
   * Resolves when the handler of the message has failed so often, and the message was scheduled to come again each time.
   * @throws ExpectationNotMetError when it is handled or given up before, or the time is over
   */
  expectRetried(
    stream: StreamDefinition,
    group: string,
    expected: Expected,
    { times = 1 }: { times?: number } = {},
  ): Promise<ObservedMessage> {
    return this.#expect(['retried'], stream, group, expected, [...ends, 'dead-lettered'], times);
  }

  /**
   * Resolves when the group has given the message up.
   * @param options.reason why it has to be given up
   * @throws ExpectationNotMetError when it is handled instead, or given up for another reason, or the time is over
   */
  async expectDeadLettered(
    stream: StreamDefinition,
    group: string,
    expected: Expected,
    { reason }: { reason?: DeadLetterReason } = {},
  ): Promise<ObservedMessage> {
    const found = await this.#expect(['dead-lettered'], stream, group, expected, ends);
    if (reason === undefined || found.reason === reason) return found;
    throw new ExpectationNotMetError(`dead-lettered for "${reason}"`, describe(stream, group, expected), [found]);
  }

  /** Forgets what has been observed so far, e.g. before dead letters are replayed: what becomes of a message then is something new. */
  forget(): void {
    this.#seen = [];
  }

  /** Ends the observation. */
  close(): void {
    this.#streams.telemetry.observers.delete(this.#observer);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #expect(
    outcomes: readonly MessageOutcome['outcome'][],
    stream: StreamDefinition,
    group: string,
    expected: Expected,
    instead: readonly MessageOutcome['outcome'][],
    times = 1,
  ): Promise<ObservedMessage> {
    checkText(group, 'StreamsHarness.expect…(_, group)');
    const { clock } = this.#streams.connection;
    const deadline = clock.now() + this.#withinMs;
    for (;;) {
      const about = this.#seen.filter(
        (seen) => seen.stream === stream.name && seen.group === group && matches(seen, expected),
      );
      const found = about.filter((seen) => outcomes.includes(seen.outcome))[times - 1];
      if (found !== undefined) return found;
      if (about.some((seen) => instead.includes(seen.outcome)) || clock.now() >= deadline) {
        throw new ExpectationNotMetError(outcomes[0] ?? '', describe(stream, group, expected), about);
      }
      await this.#change(deadline - clock.now());
    }
  }

  async #observe({ stream, group, outcome, reason, entry }: MessageOutcome): Promise<void> {
    const { originId: id, failures, fields } = entry;
    const message = await decode({ id, fields }, this.#streams);
    this.#seen.push(Object.freeze({ stream, group, id, outcome, reason, attempt: failures + 1, message }));
    if (this.#seen.length > remembered) this.#seen = this.#seen.slice(remembered / 2);
    for (const tell of this.#changed.splice(0)) tell();
  }

  /** Lets the message be due at once. Never rejects: when Redis is out of reach it comes after its backoff. */
  async #hurry({ stream, group, entry }: MessageOutcome): Promise<void> {
    const { connection, delays, streams } = this.#streams;
    const { partitions } = streams.find(({ name }) => name === stream) ?? { partitions: undefined };
    const call: RedisCall = { library: 'redis-streams', operation: 'streams.harness', budgetMs };
    await Promise.allSettled(
      partitionKeys(connection.keys, { name: stream, partitions }).map((keys) =>
        delays.queue(keys.retry(group)).reschedule(call, entry.originId, { inMs: 0 }),
      ),
    );
  }

  #change(ms: number): Promise<void> {
    return new Promise((resolve) => {
      // Nobody waits any more when a test was given up: its process may end.
      const cancel = this.#streams.connection.clock.after(ms, resolve, { unref: true });
      this.#changed.push(() => {
        cancel();
        resolve();
      });
    });
  }
}

async function decode(entry: { id: string; fields: readonly Buffer[] }, { codec }: RedisStreams) {
  try {
    return await decodeEnvelope(entry, codec);
  } catch {
    // That it can't be read is why it was given up.
    return undefined;
  }
}

function matches(seen: ObservedMessage, expected: Expected): boolean {
  if (typeof expected === 'function') return expected(seen);
  const id = typeof expected === 'string' ? expected : expected.id;
  // A delayed message is published under its message id.
  return seen.id === id || (id !== '' && seen.message?.messageId === id);
}

function describe(stream: StreamDefinition, group: string, expected: Expected): string {
  const id = typeof expected === 'object' ? expected.id : expected;
  const which = typeof id === 'string' ? `the message "${id}"` : 'a message that matches';
  return `${which} of "${stream.name}" in the group "${group}"`;
}
