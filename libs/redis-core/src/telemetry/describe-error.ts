import { inspect } from 'node:util';

/** What is known of something that was thrown: texts only. */
export interface ErrorDescription {
  /** The name of the error; empty for what is no error. */
  readonly name: string;
  readonly message: string;
  /** Empty where there is none. */
  readonly stack: string;
}

/**
 * Describes whatever was thrown. Never throws, although an error's parts may be anything, or getters that fail, and what is no error may not even have a `toString`.
 */
export function describeError(error: unknown): ErrorDescription {
  return {
    name: text(() => (isError(error) ? error.name : '')),
    message: text(() => (isError(error) ? error.message : (error ?? String(error)))),
    stack: text(() => (isError(error) ? error.stack : '')),
  };
}

/** Also of what can't be asked for its class, like a revoked Proxy. */
function isError(value: unknown): value is Error {
  try {
    return value instanceof Error;
  } catch {
    return false;
  }
}

function text(read: () => unknown): string {
  try {
    const value = read();
    if (value === undefined) return '';
    return typeof value === 'string' ? value : inspect(value);
  } catch {
    return 'it can not be described';
  }
}
