import type { LostReply } from './faults/fault.js';
import type { Frame } from './resp-scanner.js';

const SUBSCRIPTIONS = new Set(['SUBSCRIBE', 'PSUBSCRIBE', 'SSUBSCRIBE', 'UNSUBSCRIBE', 'PUNSUBSCRIBE', 'SUNSUBSCRIBE']);
const MESSAGES = new Set(['message', 'pmessage', 'smessage']);

interface Pending {
  /** Replies to come: one, or one a channel when subscribing. */
  left: number;
  readonly confirmed: boolean;
  readonly lost?: LostReply;
}

/**
 * Tells which command a reply belongs to. Redis answers in order, so the oldest unanswered command is meant, with two
 * exceptions: pushes and messages answer nothing, and a subscription is confirmed once for each channel, by a push in
 * RESP3 and by an array in RESP2. (`CLIENT REPLY OFF` is not understood.)
 */
export class PendingReplies {
  readonly #pending: Pending[] = [];
  #subscribed = false;

  expect(command: string, args: number, lost?: LostReply): void {
    const confirmed = SUBSCRIPTIONS.has(command);
    this.#subscribed ||= confirmed;
    this.#pending.push({ left: confirmed ? Math.max(1, args) : 1, confirmed, ...(lost && { lost }) });
  }

  /** The fault that wants this reply lost. Answers as soon as the first byte of the frame is known. */
  lossOf({ kind }: Frame): LostReply | undefined {
    const lost = isOutOfBand(kind) ? undefined : this.#pending[0]?.lost;
    return lost?.wanted === true ? lost : undefined;
  }

  /** Takes a complete frame into account. */
  settle({ kind, first }: Frame): void {
    const oldest = this.#pending[0];
    if (oldest === undefined) return; // MONITOR, or a push: nobody asked
    const isConfirmation = SUBSCRIPTIONS.has(first.toUpperCase());
    if (isOutOfBand(kind) || (this.#subscribed && kind === '*' && (isConfirmation || MESSAGES.has(first)))) {
      if (!isConfirmation || !oldest.confirmed) return;
      oldest.left -= 1;
      if (oldest.left > 0) return;
    }
    this.#pending.shift();
  }

  /** Gives back what was claimed for replies that will not come any more. */
  abandon(): void {
    for (const { lost } of this.#pending.splice(0)) lost?.giveBack();
  }
}

function isOutOfBand(kind: string): boolean {
  return kind === '>' || kind === '|';
}
