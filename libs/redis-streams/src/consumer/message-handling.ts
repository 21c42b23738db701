import { describeError } from '@redstart/redis-core';
import { unknownEvent } from '../definition/define-stream.js';
import { isSchema } from '../definition/event.js';
import { decodeEnvelope, type Envelope } from '../message/envelope.js';
import type { PayloadCodec } from '../message/payload-codec.js';
import { validatePayload } from '../message/validate-payload.js';
import { HandlerTimeoutError } from '../streams.errors.js';
import { Inbox } from '../effects/inbox.js';
import type { Batch, BatchItem } from './batch.js';
import { Deadlines } from './deadlines.js';
import type { GroupMember } from './group.js';
import type { HandlerTable } from './handler-table.js';
import type { HeldEntry } from './held-entry.js';
import { MessageContext } from './message-context.js';
import { isBatchHandler, type BatchHandler, type MessageHandler } from './message-handler.js';
import type { Reporter } from './reporter.js';
import type { BatchContext, StreamMessage } from './stream-batch.js';
import { isHopeless } from './trials.js';
import {
  dead,
  duplicate,
  handled,
  interrupted,
  unhandled,
  verdictOfFailure,
  verdictOfSuccess,
  type Verdict,
} from './verdict.js';

/** Who is told how a run goes on. */
export interface RunListener {
  /** Told once of each entry, maybe before `run` returns. */
  ended(entry: HeldEntry, verdict: Verdict): void;
  /** The message is for a batch handler, and waits for its batch. */
  collected(handler: BatchHandler, item: BatchItem): void;
}

/** Runs the handlers of entries, and tells what is to become of them. Sends nothing to Redis. */
export class MessageHandling {
  readonly #member: GroupMember;
  readonly #codec: PayloadCodec;
  readonly #handlers: HandlerTable<MessageHandler>;
  readonly #reporter: Reporter;
  readonly #deadlines: Deadlines;
  readonly #inbox: Inbox;

  constructor(member: GroupMember, codec: PayloadCodec, handlers: HandlerTable<MessageHandler>, reporter: Reporter) {
    this.#member = member;
    this.#codec = codec;
    this.#handlers = handlers;
    this.#reporter = reporter;
    this.#inbox = new Inbox(member);
    this.#deadlines = new Deadlines(member.connection.clock);
  }

  /** No handler is watched any more: those that go on are nobody's. */
  close(): void {
    this.#deadlines.stop();
  }

  /** Never throws. The handler begins at once, unless its payload takes time to be unpacked or checked. */
  run(entry: HeldEntry, listener: RunListener): void {
    if (isHopeless(entry)) {
      listener.ended(entry, dead({ reason: 'deliveries' }));
      return;
    }
    try {
      const envelope = decodeEnvelope(entry, this.#codec);
      if (!(envelope instanceof Promise)) {
        this.#dispatch(entry, envelope, listener);
        return;
      }
      envelope.then(
        (unpacked) => {
          this.#dispatch(entry, unpacked, listener);
        },
        (error: unknown) => {
          listener.ended(entry, this.#undecodable(error));
        },
      );
    } catch (error) {
      listener.ended(entry, this.#undecodable(error));
    }
  }

  /** Runs a batch handler. @param ended told once, of all entries of the batch */
  runBatch(batch: Batch, ended: (verdicts: ReadonlyMap<HeldEntry, Verdict>) => void): void {
    const { handler, items } = batch;
    const { stream, group } = this.#member.consumer;
    const ctx: BatchContext = { stream: stream.name, group, signal: batch.signal };
    const end = (verdictOf: (item: BatchItem) => Verdict) => {
      cancel();
      const verdicts = items.map((item): [HeldEntry, Verdict] => {
        const verdict = verdictOf(item);
        return [item.entry, item.entry.committed ? handled : verdict];
      });
      ended(new Map(verdicts));
    };
    const failed = (error: unknown) => {
      end((item) => this.#verdictOfFailure(item.entry, item.ctx, handler, error));
    };
    const cancel = this.#watch(handler, (error) => {
      batch.abort(error);
      failed(error);
    });
    const messages = items.map(({ message }) => message);
    const succeeded = (failures: ReadonlyMap<unknown, unknown>) => {
      end((item) =>
        failures.has(item.message)
          ? this.#verdictOfFailure(item.entry, item.ctx, handler, failures.get(item.message))
          : verdictOfSuccess(item.ctx, handler.retry),
      );
    };
    handler
      .invoke([...messages], ctx)
      .then((result) => failuresOf(result, messages, handler.name))
      .then(succeeded, failed);
  }

  #dispatch(entry: HeldEntry, envelope: Envelope, listener: RunListener): void {
    const { stream } = this.#member.consumer;
    const declared = Object.hasOwn(stream.events, envelope.type);
    const handler = this.#handlers.find(envelope.type);
    if (handler === undefined) {
      listener.ended(entry, declared ? unhandled : this.#unknownType(envelope.type));
      return;
    }
    const ctx = new MessageContext(entry, envelope);
    if (!declared || !isSchema(stream.events[envelope.type])) {
      this.#handle(entry, envelope.payload, ctx, handler, listener);
      return;
    }
    let over = false;
    const end = (then: () => void) => {
      if (over) return;
      over = true;
      cancel();
      then();
    };
    const failed = (error: unknown) => {
      end(() => {
        listener.ended(entry, this.#verdictOfFailure(entry, ctx, handler, error));
      });
    };
    // A schema may ask somebody who does not answer.
    const cancel = this.#watch(handler, failed);
    validatePayload(stream, envelope.type, envelope.payload).then((payload) => {
      end(() => {
        this.#handle(entry, payload, ctx, handler, listener);
      });
    }, failed);
  }

  #handle(
    entry: HeldEntry,
    payload: unknown,
    ctx: MessageContext,
    handler: MessageHandler,
    listener: RunListener,
  ): void {
    if (isBatchHandler(handler)) {
      listener.collected(handler, { entry, ctx, message: { payload, ctx } });
      return;
    }
    if (handler.inboxMs === undefined) this.#invoke(entry, payload, ctx, handler, listener);
    else void this.#invokeOnce(entry, payload, ctx, handler, handler.inboxMs, listener);
  }

  /** Never rejects. */
  async #invokeOnce(
    entry: HeldEntry,
    payload: unknown,
    ctx: MessageContext,
    handler: MessageHandler,
    inboxMs: number,
    listener: RunListener,
  ): Promise<void> {
    try {
      const note = this.#inbox.noteOf(entry, ctx.messageId, inboxMs);
      const state = await this.#inbox.begin(entry, note);
      if (state === undefined) listener.ended(entry, interrupted);
      else if (state.kind === 'done') listener.ended(entry, duplicate);
      else if (state.kind === 'processing') listener.ended(entry, { kind: 'later', delayMs: state.remainingMs });
      else {
        entry.note = note;
        this.#invoke(entry, payload, ctx, handler, listener);
      }
    } catch (error) {
      listener.ended(entry, this.#verdictOfFailure(entry, ctx, handler, error));
    }
  }

  #invoke(
    entry: HeldEntry,
    payload: unknown,
    ctx: MessageContext,
    handler: MessageHandler,
    listener: RunListener,
  ): void {
    // It took time to come here.
    if (entry.lost || !entry.source.holds()) {
      listener.ended(entry, interrupted);
      return;
    }
    const { run } = entry;
    let told = false;
    // Of a run that was given up nobody wants to know, also while the next one still waits for its time.
    const end = (verdictOf: () => Verdict) => {
      if (told || entry.ended || entry.run !== run) return;
      told = true;
      const verdict = verdictOf();
      // What a handler does behind its commit changes nothing: the message is acknowledged.
      listener.ended(entry, entry.committed ? handled : verdict);
    };
    const cancel =
      handler.timeoutMs === undefined
        ? undefined
        : this.#watch(handler, (error) => {
            entry.abort(error);
            end(() => this.#verdictOfFailure(entry, ctx, handler, error));
          });
    handler.invoke(payload, ctx).then(
      () => {
        cancel?.();
        end(() => verdictOfSuccess(ctx, handler.retry));
      },
      (error: unknown) => {
        cancel?.();
        end(() => this.#verdictOfFailure(entry, ctx, handler, error));
      },
    );
  }

  #watch({ name, timeoutMs }: MessageHandler, expired: (error: Error) => void): () => void {
    if (timeoutMs === undefined) return () => undefined;
    return this.#deadlines.watch(timeoutMs, () => {
      expired(new HandlerTimeoutError(name, timeoutMs));
    });
  }

  #verdictOfFailure(entry: HeldEntry, ctx: MessageContext, handler: MessageHandler, error: unknown): Verdict {
    if (entry.interrupted) return interrupted;
    this.#reporter.error(
      `${handler.name} handled the entry ${ctx.id} of "${ctx.stream}", attempt ${ctx.attempt}`,
      error,
      `${handler.name} ${describeError(error).name}`,
    );
    return verdictOfFailure(ctx, handler.retry, error);
  }

  /** Maybe of a later version of the publisher: kept among the dead letters, from where it can be replayed. */
  #unknownType(type: string): Verdict {
    const error = unknownEvent(this.#member.consumer.stream, type);
    this.#reporter.error(`handling an entry of "${this.#member.consumer.stream.name}"`, error, 'unknown type');
    return dead({ reason: 'unknown-type', error });
  }

  #undecodable(error: unknown): Verdict {
    this.#reporter.error(`reading an entry of "${this.#member.consumer.stream.name}"`, error, 'undecodable');
    return dead({ reason: 'undecodable', error });
  }
}

/**
 * The messages that a batch handler says have failed, and why.
 * @throws TypeError when it names something else: to take that for success would lose the messages that it meant
 */
function failuresOf(
  result: unknown,
  messages: readonly StreamMessage[],
  handler: string,
): ReadonlyMap<unknown, unknown> {
  const failed = isRecord(result) ? result.failed : undefined;
  if (failed === undefined) return new Map();
  const rows: unknown[] = Array.isArray(failed) ? failed : [undefined];
  const given = new Set<unknown>(messages);
  return new Map(
    rows.map((row): [unknown, unknown] => {
      if (isRecord(row) && given.has(row.message)) return [row.message, row.error];
      throw new TypeError(
        `${handler} resolved to a "failed" that is no list of { message, error } with messages of its batch, so the whole batch counts as failed.`,
      );
    }),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
