import { types } from 'node:util';
import pg from 'pg';

const UNIQUE_VIOLATION = '23505';
const FOREIGN_KEY_VIOLATION = '23503';

/** Did this statement break the named unique constraint? */
export const breaksUnique = (error: unknown, constraint: string): boolean =>
  breaks(error, UNIQUE_VIOLATION, constraint);

/** Did this statement refer to a row that does not exist, by the named foreign key? */
export const breaksForeignKey = (error: unknown, constraint: string): boolean =>
  breaks(error, FOREIGN_KEY_VIOLATION, constraint);

function breaks(error: unknown, code: string, constraint: string): boolean {
  return error instanceof pg.DatabaseError && error.code === code && error.constraint === constraint;
}

/** The database has not answered in time. Whatever it was asked is undone, unless that was to commit: then nobody knows. */
export class DatabaseTimeoutError extends Error {
  override readonly name = 'DatabaseTimeoutError';

  constructor(readonly limitMs: number) {
    super(`The database has not answered within ${limitMs} ms (DATABASE_TIMEOUT_SECONDS).`);
  }
}

/**
 * SQLSTATE classes 08 (connection), 53 (out of connections, memory, disk) and 57P (shut down, starting up); 57014 (a statement was cancelled: it has met
 * the limit of the server) and 25P03 (a transaction was idle for too long).
 */
const UNAVAILABLE_STATE = /^(08|53|57P|57014|25P03)/;
const UNAVAILABLE_SYSTEM_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
]);
/** The driver reports these by message alone. */
const UNAVAILABLE_MESSAGE =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/;

/** The database can't be reached or can't serve: a reason that passes, so the client is told to come back. */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (!types.isNativeError(error)) return false;
  if (error instanceof DatabaseTimeoutError) return true;
  if (error instanceof pg.DatabaseError) return UNAVAILABLE_STATE.test(error.code ?? '');
  // Node tries every address of a name and reports them all.
  if ('errors' in error && Array.isArray(error.errors)) return error.errors.some(isDatabaseUnavailable);
  if ('syscall' in error && 'code' in error && UNAVAILABLE_SYSTEM_CODES.has(String(error.code))) return true;
  return UNAVAILABLE_MESSAGE.test(error.message);
}
