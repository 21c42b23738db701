import type { InboxNote } from '../effects/inbox.js';
import { keyOf } from '../message/envelope.js';
import type { Delivery } from '../scripts/claim.js';
import { writeCount } from '../scripts/trial.js';
import { originOf } from './origin.js';
import type { Source } from './source.js';

/**
 * An entry that this consumer works on, or will in a moment.
 *
 * Its signal is made when somebody asks for it: most handlers never do.
 */
export class HeldEntry {
  readonly id: string;
  /** The id of the original entry: its own, or in the retry stream that of the entry that failed. */
  readonly originId: string;
  /** How often this entry has been delivered, this time included. */
  readonly deliveries: number;
  /** How many trials of it did not come to an end. */
  readonly trials: number;
  /** How often its handler has failed before. */
  failures: number;
  /** Entries of one lane go one after the other; undefined where there is no order to keep. */
  readonly laneId: string | undefined;
  /** Which run of a handler it is in; what earlier ones tell is ignored. */
  run = 0;
  /** The fields of the original entry. */
  readonly fields: readonly Buffer[];
  readonly bytes: number;
  /** By the local clock, when it was surely ours for the last time. */
  renewedAt: number;
  /** A slot is its own. */
  running = false;
  /** Not owned any more: it must be neither retried nor dead-lettered from here. */
  lost = false;
  /** Its entry has been trimmed or deleted while it was ours: whatever becomes of the message depends on this consumer, and nobody can take it any more. */
  trimmed = false;
  /** A call that settles it was not answered, and may have been carried out: when it is gone, that may have been us. */
  unsure = false;
  /** What it is counted as when it has been acknowledged. */
  outcome: 'handled' | 'unhandled' | 'duplicate' | undefined;
  /** The application stops before its handler has ended: what the handler fails with says nothing of the message. */
  interrupted = false;
  /** What its run has noted in the inbox. */
  note: InboxNote | undefined;
  /** Its effects and its acknowledgement are in Redis: it is pending no more. */
  committed = false;
  /** Its outcome is known, or nobody waits for it any more. */
  ended = false;
  #abort: AbortController | undefined;
  #reason: Error | undefined;

  constructor(
    readonly source: Source,
    { deliveries, fields, id, trials }: Delivery,
    /** By the local clock. */
    readonly heldSince: number,
    /** By the local clock, until when surely nobody else can take it over: minIdle after that was asked for which made it ours. An answer may have been on its way for longer. */
    public safeUntil: number,
  ) {
    this.renewedAt = heldSince;
    const origin = source.retries ? originOf(fields) : undefined;
    this.id = id;
    this.deliveries = deliveries;
    this.trials = trials;
    this.originId = origin?.id ?? id;
    this.failures = origin?.failures ?? 0;
    this.fields = origin?.fields ?? fields;
    this.laneId = source.ordered ? laneOf(source.keys.stream, this.fields) : undefined;
    let bytes = 0;
    for (const field of fields) bytes += field.length;
    this.bytes = bytes;
  }

  /** What Redis counted before it was delivered to this consumer. */
  get countBefore(): number {
    return writeCount({ deliveries: Math.max(0, this.deliveries - 1), trials: this.trials });
  }

  /** Whether its signal has been aborted, or would be. */
  get aborted(): boolean {
    return this.#reason !== undefined;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#reason !== undefined) this.#abort.abort(this.#reason);
    return this.#abort.signal;
  }

  /**
   * Redis says that its entry is neither pending nor in the stream. As long as nobody can have taken it over, and handled it, it was trimmed while it was ours.
   * Nothing trims a retry stream, but what is settled there is deleted at once: also by a former owner, who is late.
   * @returns whether it is ours all the same
   */
  foundGone(): boolean {
    const { holds, member, retries } = this.source;
    const settled = retries || this.unsure;
    // The next owner of a partition takes up what is pending in it, however recently it was renewed.
    const safe = !this.lost && member.connection.clock.now() < this.safeUntil && holds();
    this.trimmed ||= safe && !settled;
    return this.trimmed;
  }

  /** @param askedAt by the local clock, when that was asked for */
  renewed(askedAt: number, minIdleMs: number): void {
    this.renewedAt = askedAt;
    this.safeUntil = askedAt + minIdleMs;
  }

  /** For another run: the signal of the last one may have aborted. */
  begin(): void {
    this.run += 1;
    if (this.lost) return;
    this.#abort = undefined;
    this.#reason = undefined;
  }

  /** Whoever runs it has no more time: what it fails with from now on says nothing of the message. */
  interrupt(reason: Error): void {
    this.interrupted = true;
    this.abort(reason);
  }

  /** It belongs to somebody else, who may begin it at any moment. */
  lose(reason: Error): void {
    this.lost = true;
    this.source.member.trials.leave(this);
    this.abort(reason);
  }

  abort(reason: Error): void {
    this.#reason ??= reason;
    this.#abort?.abort(this.#reason);
  }
}

function laneOf(stream: string, fields: readonly Buffer[]): string | undefined {
  const key = keyOf(fields);
  return key === '' ? undefined : `${stream}/${key}`;
}
