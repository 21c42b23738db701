/** Waits for programs. None of these ever throws: a program that cannot start has an exit code, too. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/** What a shell answers when a program does not exist or may not run. */
const CANNOT_RUN = 127;

/**
 * The exit code of a program that was started; 128 + the signal's number when a signal ended it.
 *
 * @param {import('node:child_process').ChildProcess} child
 * @returns {Promise<number>}
 */
export function exitCode(child) {
  return new Promise((resolve) => {
    child.once('error', () => resolve(CANNOT_RUN));
    child.once('close', (code, name) => resolve(code ?? 128 + (constants.signals[name] ?? 0)));
  });
}

export async function succeeds(child) {
  return (await exitCode(child)) === 0;
}

/** What a program prints, both streams together, and its exit code. */
export async function outputOf(child) {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => (output += text));
  }
  child.once('error', (error) => (output += error.message));
  return { code: await exitCode(child), output };
}

/**
 * Runs a program to its end. `timeout`, in milliseconds, ends it with SIGKILL.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {import('node:child_process').SpawnOptions} options
 * @returns {Promise<{ code: number, output: string }>}
 */
export function capture(command, args, options = {}) {
  return outputOf(spawn(command, args, { killSignal: 'SIGKILL', ...options, stdio: ['ignore', 'pipe', 'pipe'] }));
}
