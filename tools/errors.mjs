/** Something outside this repository is missing or broken. The message says what to do about it, and no stack trace is needed. */
export class SetupError extends Error {
  name = 'SetupError';
}
