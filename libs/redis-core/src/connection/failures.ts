import { RedisCommandError, RedisUnavailableError, RedstartError } from '../redis.errors.js';

/** Answers of a server that can't work right now. It did not carry the command out, and the next attempt may succeed. */
const passing = new Set([
  'LOADING',
  'BUSY',
  'MASTERDOWN',
  'CLUSTERDOWN',
  'TRYAGAIN',
  'READONLY',
  'MISCONF',
  'NOREPLICAS',
  'OOM',
]);

/** Of those, the ones that say nothing of other commands: reads go on when memory is full. They don't open the breaker. */
const ofWritesOnly = new Set(['OOM', 'MISCONF', 'NOREPLICAS', 'READONLY', 'TRYAGAIN']);

const fullHouse = 'ERR max number of clients reached';

/** Answers that no retry cures: the configuration is wrong, so booting on would only hide it. */
const misconfigured = new Set(['WRONGPASS', 'NOAUTH', 'NOPERM']);
const noSuchDatabase = /^ERR (DB index is out of range|invalid DB index)/;

/**
 * Brings whatever ioredis rejects with to an error of ours; errors of other origin pass unchanged.
 *
 * The original's message is kept as the cause, its command and arguments are not: they may hold a password or a value.
 */
export function toRedstartError(error: unknown, operation: string, place: string): unknown {
  if (error instanceof RedstartError || !(error instanceof Error)) return error;
  const cause = { cause: strip(error) };
  if (isReply(error)) {
    const reason = reasonOf(error);
    return passing.has(reason) || error.message === fullHouse
      ? new RedisUnavailableError(
          `${operation}: ${place} refuses: ${withoutQuotes(error.message)}`,
          'not-executed',
          cause,
        )
      : new RedisCommandError(`${operation}: ${place} answered: ${withoutQuotes(error.message)}`, reason, cause);
  }
  return isDisconnect(error)
    ? new RedisUnavailableError(
        `${operation}: the connection to ${place} broke while the command was under way; the server may have carried it out.`,
        'unknown',
        cause,
      )
    : error;
}

/** Whether a failure says that Redis can't be reached, so that further calls would only wait. */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof RedisUnavailableError)) return false;
  return !(error.cause instanceof Error && ofWritesOnly.has(reasonOf(error.cause)));
}

/** Whether a failure to connect is a matter of configuration. */
export function isMisconfiguration(error: unknown): error is Error {
  return error instanceof Error && (misconfigured.has(reasonOf(error)) || noSuchDatabase.test(error.message));
}

export function isNoScript(error: unknown): boolean {
  return error instanceof Error && reasonOf(error) === 'NOSCRIPT';
}

/** Whether this only says that commands were dropped with the connection, and not why that broke. ioredis 5 tells it after the reason. */
export function isConsequence(error: Error): boolean {
  return error.name === 'MaxRetriesPerRequestError';
}

function reasonOf(error: Error): string {
  return /^[A-Z]+/.exec(error.message)?.[0] ?? 'ERR';
}

function isReply(error: Error): boolean {
  return error.name === 'ReplyError';
}

const disconnects = new Set(['MaxRetriesPerRequestError', 'AbortError', 'ClusterAllFailedError']);
const disconnectCodes = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'EAI_AGAIN',
]);
const disconnectMessages = [
  'Connection is closed.',
  'Command timed out', // By the commandTimeout of a client of the user's own.
  'None of startup nodes is available',
  'Too many Cluster redirections',
  "Stream isn't writeable",
  "Cluster isn't ready",
  'Socket timeout',
  'Cluster is ended',
];

function isDisconnect(error: Error): boolean {
  return (
    disconnects.has(error.name) ||
    ('code' in error && typeof error.code === 'string' && disconnectCodes.has(error.code)) ||
    disconnectMessages.some((message) => error.message.startsWith(message))
  );
}

/** The server's message without the arguments that it quotes: `ERR unknown command 'X', with args beginning with: 'secret'`. */
export function withoutQuotes(message: string): string {
  return message
    .replace(/,? with args beginning with:.*$/is, '')
    .replace(/(unknown subcommand(?: or wrong number of arguments for)?) '[^']*'/i, '$1');
}

/** A copy without anything that ioredis hung on the error. */
export function strip(error: Error): Error {
  const copy = new Error(withoutQuotes(error.message));
  copy.name = error.name;
  if (error.stack !== undefined) copy.stack = error.stack.replace(error.message, copy.message);
  if ('code' in error && typeof error.code === 'string') Object.assign(copy, { code: error.code });
  return copy;
}
