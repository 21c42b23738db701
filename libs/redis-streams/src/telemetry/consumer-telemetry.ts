import { newCounters, type ConsumerCounters } from '../consumer/counters.js';
import type { DeadLetterReason } from '../consumer/dead-letter.js';
import type { StreamsTelemetry } from './streams-telemetry.js';

/** An entry, as far as it is told of. */
export interface ToldEntry {
  /** The id of the original entry. */
  readonly originId: string;
  /** How often its handler has failed before. */
  readonly failures: number;
  /** The fields of the original entry. */
  readonly fields: readonly Buffer[];
}

/** What became of one message in one group. */
export interface MessageOutcome {
  readonly stream: string;
  readonly group: string;
  readonly outcome: 'handled' | 'duplicate' | 'unhandled' | 'retried' | 'dead-lettered' | 'lost';
  readonly reason?: DeadLetterReason;
  readonly entry: ToldEntry;
}

/** Counts what becomes of the messages of one consumer, and tells of it. */
export class ConsumerTelemetry {
  readonly counters: ConsumerCounters = newCounters();

  constructor(
    private readonly telemetry: StreamsTelemetry,
    private readonly stream: string,
    private readonly group: string,
  ) {}

  /** Acknowledged. */
  acknowledged(entry: ToldEntry, as: 'handled' | 'duplicate' | 'unhandled'): void {
    this.counters[as === 'duplicate' ? 'duplicates' : as] += 1;
    this.#tell(entry, as);
  }

  /** Its handler failed, and it is scheduled for another attempt. */
  retried(entry: ToldEntry): void {
    this.counters.failed += 1;
    this.#tell(entry, 'retried');
  }

  deadLettered(entry: ToldEntry, reason: DeadLetterReason): void {
    const { stream, group } = this;
    this.counters.deadLettered += 1;
    if (this.telemetry.heard) this.telemetry.publish(stream, { event: 'dead-lettered', group, reason });
    if (this.telemetry.observers.size > 0) this.#observe({ stream, group, outcome: 'dead-lettered', reason, entry });
  }

  lost(entry: ToldEntry): void {
    this.counters.lost += 1;
    this.#tell(entry, 'lost');
  }

  reclaimed(count: number): void {
    this.counters.claimed += count;
    this.#count('reclaimed', count);
  }

  trimmed(count: number): void {
    this.counters.trimmed += count;
    this.#count('trimmed', count);
  }

  /** Dead letters had to go for newer ones. */
  dropped(count: number): void {
    this.counters.dropped += count;
    this.#count('dropped', count);
  }

  #tell(entry: ToldEntry, outcome: 'handled' | 'duplicate' | 'unhandled' | 'retried' | 'lost'): void {
    const { stream, group } = this;
    if (this.telemetry.heard) this.telemetry.publish(stream, { event: outcome, group });
    if (this.telemetry.observers.size > 0) this.#observe({ stream, group, outcome, entry });
  }

  /** So many stand behind others of their key, and no more are read until some have gone. */
  setAside(count: number): void {
    this.#count('set-aside', count);
  }

  #count(event: 'reclaimed' | 'trimmed' | 'dropped' | 'set-aside', count: number): void {
    if (count > 0 && this.telemetry.heard) this.telemetry.publish(this.stream, { event, group: this.group, count });
  }

  #observe(outcome: MessageOutcome): void {
    for (const observer of this.telemetry.observers) observer(outcome);
  }
}
