import { Redis, type RedisOptions } from 'ioredis';

/** A host and a port, as Redis clients take them. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** How to reach one server. */
export interface Endpoint extends Address {
  readonly password?: string;
  readonly tls?: { readonly ca: string };
}

/**
 * Options of an ioredis client. The replies have the shapes that ioredis gives them by default, which is what the type of
 * the client says.
 */
export type ClientOptions = RedisOptions & { replyMapping?: 'legacy' };

/** The endpoint in the words of ioredis. */
export function connectionOptions({ host, port, password, tls }: Endpoint): ClientOptions {
  return { host, port, ...(password !== undefined && { password }), ...(tls && { tls: { ca: tls.ca } }) };
}

/** `redis://` or `rediss://`, with the password when there is one. */
export function urlOf({ host, port, password, tls }: Endpoint): string {
  const login = password === undefined ? '' : `:${encodeURIComponent(password)}@`;
  return `${tls ? 'rediss' : 'redis'}://${login}${host}:${port}`;
}

/**
 * Opens a connection, hands it to `work` and closes it: nothing of ours stays visible in CLIENT LIST between calls.
 *
 * @throws what the first attempt to connect met, at once (ECONNREFUSED, NOAUTH ...), or what `work` threw
 */
export async function withConnection<T>(endpoint: Endpoint, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({
    ...connectionOptions(endpoint),
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    connectTimeout: 2_000,
    commandTimeout: 5_000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  let refusal: unknown;
  redis.on('error', (error) => (refusal = error));
  try {
    await redis.connect().catch((error: unknown) => {
      throw refusal ?? error; // ioredis says only "Connection is closed."; the event carried the reason
    });
    return await work(redis);
  } finally {
    // Once it has ended, ioredis would wait 2 s for the end of a connection that no longer exists.
    if (redis.status !== 'end') redis.disconnect();
  }
}

/** Who answers at the endpoint, and whether it is still reading its data from disk. */
export async function serverIdentity(endpoint: Endpoint): Promise<{ pid: number; loading: boolean }> {
  const info = await withConnection(endpoint, (redis) => redis.info());
  return { pid: Number(/^process_id:(\d+)/m.exec(info)?.[1]), loading: /^loading:1/m.test(info) };
}
