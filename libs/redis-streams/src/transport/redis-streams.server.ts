import { checkStreamTypes } from '../boot-check.js';
import type { ConsumerMetadata } from '../decorators/stream-consumer.js';
import {
  Server,
  type BaseRpcContext,
  type Transport,
  type CustomTransportStrategy,
  type MessageHandler as NestHandler,
  type ReadPacket,
} from '@nestjs/microservices';
import { isObservable, lastValueFrom } from 'rxjs';
import { HandlerTable } from '../consumer/handler-table.js';
import type { GroupConsumer } from '../consumer/group-consumer.js';
import { Reporter } from '../consumer/reporter.js';
import type { StreamContext } from '../consumer/stream-context.js';
import { unknownEvent, type StreamDefinition } from '../definition/define-stream.js';
import { UnrecoverableError } from '../streams.errors.js';
import { callContext } from './call-context.js';
import { consumeAll } from './consume-all.js';
import { openStream, requestsGroup, requestsOf } from './open-stream.js';
import { RedisStreamsContext } from './redis-streams.context.js';
import { Replier } from './replier.js';
import {
  redisStreamsTransport,
  resolveServerOptions,
  type RedisStreamsServerOptions,
  type ResolvedServerOptions,
} from './transport.options.js';

/** What Nest's guards say, and what Nest's servers reply when nobody handles a pattern. */
const forbidden = 'Forbidden resource';
const noHandler = 'There is no matching message handler defined in the remote service.';

interface EventHandler {
  readonly name: string;
  readonly pattern: string;
  readonly handler: NestHandler;
}

type Status = 'connected' | 'disconnected';

/**
 * Nest's microservice server over Redis Streams.
 *
 * It is *listening* from `listen` on: one consumer of `group` for the events, if there are handlers of any, and one for the calls. An event is acknowledged after all its handlers have succeeded:
 * promises resolved, Observables completed. When one fails, all of them run again, as handlers of `@StreamConsumer` do: the same attempts, dead letters, renewal and hand-over. A call is
 * acknowledged when its last reply is sent, or when nobody waits for it any more; such a one is not begun. `close` stops reading and waits for handlers, within `drainTimeout`.
 *
 * @example
 * const app = await NestFactory.create(AppModule);
 * app.connectMicroservice({ strategy: new RedisStreamsServer({ streams: app.get(RedisStreams), stream: 'billing', group: 'billing' }) });
 * await app.startAllMicroservices();
 */
export class RedisStreamsServer extends Server<Record<string, () => void>, Status> implements CustomTransportStrategy {
  override transportId = redisStreamsTransport;
  /** An event handler's error reaches `handleEvent`, and is reported here: Nest need not log it as one that nobody hears of. */
  override readonly propagatesEventHandlerErrors = true;
  /** The ioredis client of the connection. Nest lets the caller say what it is. */
  override readonly unwrap: Server['unwrap'] = () => this.#options.streams.connection.client as never;
  readonly #options: ResolvedServerOptions;
  readonly #reporter: Reporter;
  /** Nest leaves it undefined until somebody traces. */
  protected override onProcessingEndHook: (transportId: Transport | symbol, context: BaseRpcContext) => void = () =>
    undefined;
  #consumers: GroupConsumer[] = [];
  /** Which handler is for an event, also by a pattern. */
  #events: HandlerTable<EventHandler> | undefined;

  constructor(options: RedisStreamsServerOptions) {
    super();
    this.#options = resolveServerOptions(options);
    this.#reporter = new Reporter('RedisStreamsServer', this.#options.streams.connection.clock);
    this.initializeSerializer({});
    this.initializeDeserializer({});
  }

  listen(callback: (error?: unknown) => void): void {
    this.#start().then(() => {
      callback();
    }, callback);
  }

  async close(): Promise<void> {
    const consumers = this.#consumers.splice(0);
    await Promise.all(consumers.map((consumer) => consumer.stop()));
    await Promise.all(consumers.map((consumer) => consumer.drain()));
    this._status$.next('disconnected');
  }

  /** Listens to an event of the ioredis client, e.g. `ready` or `close`. */
  on(event: string, callback: () => void): void {
    this.#options.streams.connection.client.on(event, callback);
  }

  /** Resolves when every handler of the event has settled, and rejects when one has failed. */
  override async handleEvent(pattern: string, packet: ReadPacket, context: RedisStreamsContext): Promise<void> {
    const handler = this.getHandlerByPattern(pattern) ?? this.#events?.find(pattern)?.handler;
    if (handler === undefined) throw new Error(`No handler of "${pattern}"`);
    await this.#withHooks(context, async () => {
      const result: unknown = await handler(packet.data, context);
      if (isObservable(result)) await lastValueFrom(result, { defaultValue: undefined });
    });
  }

  async #start(): Promise<void> {
    const { streams, stream, group, concurrency, prefetch, from, retry, timeoutMs } = this.#options;
    const handlers = [...this.messageHandlers.values()];
    const name = 'RedisStreamsServer';
    if (handlers.some(isEventHandler)) {
      const found = [...this.messageHandlers].filter(([, handler]) => isEventHandler(handler));
      const patterns = found.map(([pattern]) => pattern);
      const { definition, declare } = openStream(stream);
      patterns.forEach(declare);
      refuseUnknown(definition, patterns);
      const entries = found.map(([pattern, handler]) => ({ name: pattern, pattern, handler }));
      this.#events = new HandlerTable(definition, entries);
      const consumer: ConsumerMetadata = {
        stream: definition,
        group,
        concurrency,
        prefetch,
        from,
        onFailure: 'block-key',
      };
      const invoke = (data: unknown, ctx: StreamContext) => this.#event(data, ctx);
      this.#consumers.push(consumeAll(streams, consumer, { name, patterns, retry, timeoutMs, invoke }));
    }
    if (!handlers.every(isEventHandler)) {
      // Nothing is fetched ahead: another server may have a slot free, and whoever asks waits.
      const consumer: ConsumerMetadata = {
        ...{ stream: requestsOf(stream).definition, group: requestsGroup },
        ...{ concurrency, prefetch: 0, from: '0', onFailure: 'block-key' },
      };
      const invoke = (data: unknown, ctx: StreamContext) => this.#answer(data, ctx);
      this.#consumers.push(
        consumeAll(streams, consumer, { name, patterns: ['*'], retry, timeoutMs: undefined, invoke }),
      );
    }
    await this.#checkStreams();
    await Promise.all(this.#consumers.map((consumer) => consumer.start()));
    this._status$.next('connected');
  }

  /** @throws StreamTypeError when a key that has to be a stream holds something else */
  async #checkStreams(): Promise<void> {
    const uses = this.#consumers.map(({ metadata: { stream, group } }) => ({ stream, groups: [group] }));
    try {
      await checkStreamTypes(this.#options.streams, uses);
    } catch (error) {
      // They have not begun, so there is nothing for `close` to end.
      this.#consumers = [];
      throw error;
    }
  }

  async #event(data: unknown, message: StreamContext): Promise<void> {
    try {
      await this.handleEvent(message.type, { pattern: message.type, data }, new RedisStreamsContext(message, true));
    } catch (error) {
      throw asError(error);
    }
  }

  async #answer(data: unknown, message: StreamContext): Promise<void> {
    const { streams } = this.#options;
    const replier = new Replier(streams, this.#reporter, message);
    const remainingMs = await replier.remainingMs();
    if (remainingMs <= 0) return;
    // It took time to ask.
    message.signal.throwIfAborted();
    const handler = this.getHandlerByPattern(message.type);
    if (handler === null || isEventHandler(handler)) {
      await replier.send({ err: noHandler, isLast: true });
      return;
    }
    const over = new AbortController();
    const context = new RedisStreamsContext(callContext(message, over.signal), false);
    await this.#withHooks(context, () => this.#reply(handler(data, context), replier, remainingMs, message, over));
  }

  /** Sends what a handler answers until its end, or until nobody waits any more: then it is unsubscribed from, and the signal aborts. */
  #reply(
    answer: ReturnType<NestHandler>,
    replier: Replier,
    remainingMs: number,
    { signal }: StreamContext,
    over: AbortController,
  ): Promise<void> {
    const { clock } = this.#options.streams.connection;
    return new Promise<void>((resolve, reject) => {
      const abandon = () => {
        over.abort(new Error('Nobody waits for a reply any more.'));
        end();
      };
      let cancel = clock.after(remainingMs, abandon);
      // To unsubscribe makes Nest send an end, which is not that of the answer.
      let settled = false;
      const wait = () => {
        if (!settled) cancel = clock.after(replier.timeoutMs, abandon);
      };
      const subscription = this.send(
        this.transformToObservable(answer),
        async ({ err, response, isDisposed = false }) => {
          if (settled) return;
          cancel();
          const wanted = await replier.send({ err: err as unknown, response: response as unknown, isLast: isDisposed });
          if (isDisposed) end();
          else if (wanted) wait();
          else abandon();
        },
      );
      const settle = () => {
        settled = true;
        cancel();
        signal.removeEventListener('abort', interrupted);
        subscription.unsubscribe();
      };
      const end = () => {
        settle();
        resolve();
      };
      // The server stops, or another one has the call: it is for others to answer.
      const interrupted = () => {
        settle();
        reject(new Error('The call is for others to answer.', { cause: signal.reason }));
      };
      signal.addEventListener('abort', interrupted);
      if (signal.aborted) interrupted();
    });
  }

  /** The hooks of whoever traces Nest's microservices. */
  #withHooks(context: RedisStreamsContext, work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.onProcessingStartHook(this.transportId, context, async () => {
        try {
          await work();
          resolve();
        } catch (error) {
          reject(error);
        } finally {
          this.onProcessingEndHook(this.transportId, context);
        }
      });
    });
  }
}

/** An event that is never published here. @throws OptionsError */
function refuseUnknown(stream: StreamDefinition, patterns: readonly string[]): void {
  for (const pattern of patterns) {
    if (!pattern.includes('*') && !Object.hasOwn(stream.events, pattern)) throw unknownEvent(stream, pattern);
  }
}

function isEventHandler({ isEventHandler: event = false }: NestHandler): boolean {
  return event;
}

/** Nest makes plain objects of errors on their way to a transport. */
function asError(thrown: unknown): unknown {
  if (thrown instanceof Error || typeof thrown !== 'object' || thrown === null || !('message' in thrown)) return thrown;
  const message = String(thrown.message);
  // A guard that refuses a message now would refuse it again.
  return message === forbidden ? new UnrecoverableError(message) : new Error(message, { cause: thrown });
}
