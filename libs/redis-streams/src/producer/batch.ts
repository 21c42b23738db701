import { OptionsError } from '@redstart/redis-core';
import type { StreamDefinition } from '../definition/define-stream.js';
import type { PublishedPayload } from '../definition/event.js';
import type { Publication } from '../scripts/publish.js';
import { BatchPublishError } from '../streams.errors.js';
import type { PublishOptions } from './publish-options.js';

type EventsOf<Stream> = Stream extends StreamDefinition<infer Events> ? Events : never;

/** One message of `publishBatch`: what `publish` takes, as one object. */
export type BatchMessage<Stream = StreamDefinition> = {
  [Type in keyof EventsOf<Stream> & string]: PublishOptions & {
    readonly type: Type;
    readonly payload: PublishedPayload<EventsOf<Stream>[Type]>;
  };
}[keyof EventsOf<Stream> & string];

/** The same, of whichever stream. */
export interface AnyBatchMessage extends PublishOptions {
  readonly type: string;
  readonly payload: unknown;
}

/** So many messages are sent at once; the next ones when those are answered. */
const largestPart = 1_000;

/**
 * How the scripts of a part are sent that leaves at once: by the text where one is the first of its kind for a node, since a server that does not know it would have the digest carried out behind
 * what follows. In a Cluster each stream counts for a node of its own.
 */
export class ScriptOrder {
  readonly #loaded = new Set<string>();

  /** @param place what is on one node with everything else of the same name */
  by(script: 'publish' | 'schedule', place: string): 'digest' | 'text' {
    const first = !this.#loaded.has(`${script} ${place}`);
    this.#loaded.add(`${script} ${place}`);
    return first ? 'text' : 'digest';
  }
}

/**
 * Prepares all messages, then sends them in their order, a part at a time.
 *
 * @throws OptionsError when it is no array · BatchPublishError when not every message was published
 */
export async function publishAll<Prepared>(
  messages: readonly AnyBatchMessage[],
  prepare: (message: AnyBatchMessage) => Prepared | Promise<Prepared>,
  send: (prepared: Prepared, order: ScriptOrder | undefined) => Promise<Publication>,
): Promise<Publication[]> {
  if (!Array.isArray(messages)) throw new OptionsError('publishBatch(messages)', 'expected an array of messages.');
  const outcomes: PromiseSettledResult<Publication>[] = [];
  for (let at = 0; at < messages.length; at += largestPart) {
    const part = await Promise.allSettled(
      messages.slice(at, at + largestPart).map(async (message) => prepare(checkMessage(message))),
    );
    const order = part.length > 1 ? new ScriptOrder() : undefined;
    const sent = part.map(async (prepared) =>
      prepared.status === 'fulfilled' ? settled(send(prepared.value, order)) : prepared,
    );
    outcomes.push(...(await Promise.all(sent)));
  }
  const published = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  if (published.length < outcomes.length) throw new BatchPublishError(outcomes);
  return published;
}

async function settled<T>(work: Promise<T>): Promise<PromiseSettledResult<T>> {
  const [outcome] = await Promise.allSettled([work]);
  return outcome;
}

function checkMessage(message: unknown): AnyBatchMessage {
  if (typeof message === 'object' && message !== null) return message as AnyBatchMessage;
  throw new OptionsError('publishBatch(messages)', 'expected objects { type, payload }.');
}
