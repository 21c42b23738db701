import { OptionsError, RedisUnavailableError } from '../redis.errors.js';
import type { RedisClient, ResolvedRedisOptions } from '../redis.options.js';
import { isCluster } from './cluster.js';
import { isMisconfiguration, strip } from './failures.js';

/**
 * Opens a client. With `startup: 'lazy'` returns at once; with `'wait'` resolves when Redis answers.
 *
 * @throws OptionsError at once when Redis refuses the credentials · RedisUnavailableError after `startupTimeout`
 */
export async function connectClient(client: RedisClient, options: ResolvedRedisOptions, place: string): Promise<void> {
  open(client);
  if (options.startup === 'lazy' || client.status === 'ready') return;
  const causes = rememberCause(client);
  try {
    await whenReady(client, options.startupTimeoutMs, causes);
  } catch (error) {
    if (isMisconfiguration(error)) {
      throw new OptionsError(
        `RedisModule "${options.name}"`,
        `${place} refuses the connection: ${error.message} Check username, password and the user's permissions.`,
        { cause: strip(error) },
      );
    }
    const reason = causes.last === undefined ? '' : ` Last failure: ${causes.last.message}.`;
    throw new RedisUnavailableError(
      `${place} could not be reached within ${options.startupTimeoutMs} ms.${reason} Is it running? Use startup: 'lazy' to boot without it.`,
      'not-executed',
      causes.last === undefined ? undefined : { cause: strip(causes.last) },
    );
  } finally {
    causes.forget();
  }
}

/** Starts to connect, if nobody has yet. A failed attempt is repeated by the client itself. */
function open(client: RedisClient): void {
  if (client.status !== 'wait') return;
  client.connect().catch(() => {
    // The first attempt failed; the client goes on trying, and whenReady waits for that.
  });
}

interface Causes {
  last: Error | undefined;
  /** Called with every failed attempt. */
  onCause: ((error: Error) => void) | undefined;
  forget(): void;
}

function rememberCause(client: RedisClient): Causes {
  const causes: Causes = {
    last: undefined,
    onCause: undefined,
    forget: () => {
      client.off('error', remember);
      client.off('node error', remember);
    },
  };
  const remember = (error: Error) => {
    causes.last = 'lastNodeError' in error && error.lastNodeError instanceof Error ? error.lastNodeError : error;
    causes.onCause?.(causes.last);
  };
  client.on('error', remember);
  if (isCluster(client)) client.on('node error', remember);
  return causes;
}

/**
 * Resolves when the client is ready; rejects when it has ended, when it turns out to be misconfigured, or after `ms`.
 * Leaves no listener and no timer behind.
 */
export function whenReady(client: RedisClient, ms: number, causes?: Causes): Promise<void> {
  if (client.status === 'ready') return Promise.resolve();
  open(client);
  return new Promise<void>((resolve, reject) => {
    const settle = (error?: Error) => {
      clearTimeout(timer);
      client.off('ready', onReady);
      client.off('end', onEnd);
      if (causes !== undefined) causes.onCause = undefined;
      if (error === undefined) resolve();
      else reject(error);
    };
    const onReady = () => {
      settle();
    };
    const onEnd = () => {
      settle(new RedisUnavailableError('the connection has ended', 'not-executed'));
    };
    const timer = setTimeout(() => {
      settle(new RedisUnavailableError(`no connection within ${ms} ms`, 'not-executed'));
    }, ms);
    client.once('ready', onReady);
    client.once('end', onEnd);
    if (client.status === 'end') onEnd();
    if (causes !== undefined) {
      causes.onCause = (error) => {
        if (isMisconfiguration(error)) settle(error);
      };
    }
  });
}
