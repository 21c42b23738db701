import { OptionsError, RedisUnavailableError } from '../redis.errors.js';
import type { RedisClient, ResolvedRedisOptions } from '../redis.options.js';
import { withinBudget } from './budget.js';
import type { ConnectionWatch } from './connection-watch.js';
import { isMisconfiguration } from './failures.js';

/**
 * Opens a client. With `startup: 'lazy'` returns at once; with `'wait'` resolves when Redis answers.
 *
 * @throws OptionsError at once when Redis refuses the credentials or the database · RedisUnavailableError after `startupTimeout`
 */
export async function connectClient(
  client: RedisClient,
  watch: ConnectionWatch,
  options: ResolvedRedisOptions,
  place: string,
): Promise<void> {
  const opening = watch.ready();
  opening.catch(() => {
    // With `lazy` nobody waits: the calls hear of it.
  });
  if (options.startup === 'lazy' || client.status === 'ready') return;
  const late = () => {
    const { lastFailure } = watch;
    const reason = lastFailure === undefined ? '' : ` Last failure: ${lastFailure.message}.`;
    return new RedisUnavailableError(
      `${place} could not be reached within ${options.startupTimeoutMs} ms.${reason} Is it running? Use startup: 'lazy' to boot without it.`,
      'not-executed',
      lastFailure === undefined ? undefined : { cause: lastFailure },
    );
  };
  try {
    await withinBudget(Promise.race([opening, watch.misconfigured()]), options.startupTimeoutMs, late);
  } catch (error) {
    if (!isMisconfiguration(error)) throw error;
    throw new OptionsError(
      `RedisModule "${options.name}"`,
      `${place} refuses the connection: ${error.message} Check username, password, db and the user's permissions.`,
      { cause: error },
    );
  }
}
