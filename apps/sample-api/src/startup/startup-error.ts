import { types } from 'node:util';
import { RedstartError } from '@redstart/redis-core';

/** The application can't start for a reason that the operator can act on. Its message is one line and holds no secret. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}

/**
 * What to print when the application could not start: one clear line for a cause that the operator can act on, the stack for a defect.
 * A password inside a URL is blotted out wherever it appears.
 */
export function describeStartupFailure(error: unknown): string {
  if (error instanceof StartupError) return withoutPasswords(error.message);
  // Unreachable, or wrong credentials. Its message is one line, names host and port, and never a password.
  if (error instanceof RedstartError) return `${error.message} (REDIS_URL)`;
  if (hasCode(error, 'EADDRINUSE')) {
    return `Port ${error.port ?? '?'} is already in use. Stop the other program, or choose another port with PORT.`;
  }
  if (hasCode(error, 'EACCES'))
    return `No permission to listen on port ${error.port ?? '?'}. Choose another port with PORT.`;
  if (hasCode(error, 'EADDRNOTAVAIL', 'ENOTFOUND')) return 'HOST is not an address of this machine.';
  return stackOf(error);
}

/** `scheme://user:password@host` becomes `scheme://user:***@host`. */
export const withoutPasswords = (text: string): string =>
  text.replace(/([a-z][a-z\d+.-]*:\/\/[^\s/:@]*):\S+@/gi, '$1:***@');

/** The message of an error, also of Node's AggregateError (a name with several addresses), whose own message is empty. */
export function messageOf(error: unknown): string {
  if (!types.isNativeError(error)) return String(error);
  if (!error.message && 'errors' in error && Array.isArray(error.errors)) return error.errors.map(messageOf).join(', ');
  return error.message;
}

/** The stack of an error for the log, without passwords. */
export const stackOf = (error: unknown): string =>
  withoutPasswords(types.isNativeError(error) ? (error.stack ?? error.message) : String(error));

function hasCode(error: unknown, ...codes: string[]): error is Error & { code: string; port?: number } {
  return types.isNativeError(error) && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}
