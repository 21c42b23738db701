import { Redis } from 'ioredis';
import { type ClientOptions, FaultProxy, RedisServer } from '../../src/index.js';

/** A server, a proxy in front of it, and clients that go through the proxy. */
export class Proxied implements AsyncDisposable {
  readonly #clients: Redis[] = [];

  private constructor(
    readonly server: RedisServer,
    readonly proxy: FaultProxy,
  ) {}

  static async start(): Promise<Proxied> {
    const server = await RedisServer.start();
    return new Proxied(server, await FaultProxy.start(server));
  }

  /** A client through the proxy that reports each failure at once. */
  async client(options: ClientOptions = {}): Promise<Redis> {
    const redis = new Redis(this.proxy.url, {
      maxRetriesPerRequest: 0,
      retryStrategy: () => 20,
      autoResendUnfulfilledCommands: false,
      lazyConnect: true,
      disconnectTimeout: 50,
      ...options,
    });
    redis.on('error', () => undefined);
    this.#clients.push(redis);
    await redis.connect();
    return redis;
  }

  /** A client that goes straight to the server. */
  get direct(): Redis {
    return this.server.client();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await this.proxy.stop();
    await this.server.stop();
  }
}
