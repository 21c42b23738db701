import { readCommandLine, type CommandLine } from './arguments.js';
import { runCommand } from './commands.js';
import { printable, type Output } from './output.js';
import { usage, UsageError } from './usage.js';

const exitCodes = { done: 0, failed: 1, notUnderstood: 2, interrupted: 130 } as const;

/**
 * Everything that the command does, from its arguments to its exit code; it never rejects because of what a user gave it.
 *
 * @param interrupted aborts when the user has had enough
 * @returns 0 done · 1 failed · 2 not understood · 130 interrupted
 */
export async function runProgram(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  output: Output,
  interrupted: AbortSignal,
): Promise<number> {
  let line: CommandLine | undefined;
  try {
    line = readCommandLine(argv, env);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    output.err(`${printable(withoutSecrets(error.message))}\nTry redstart-streams --help.`);
    return exitCodes.notUnderstood;
  }
  if (line === undefined) {
    output.out(usage.trimEnd());
    return exitCodes.done;
  }
  try {
    // Only now: a word of help needs no Nest.
    const { openAdmin } = await import('./admin-app.js');
    await using app = await openAdmin(line);
    await runCommand({ admin: app.admin, line, output, signal: interrupted });
    return exitCodes.done;
  } catch (error) {
    output.err(`${line.command}: ${printable(withoutSecrets(messageOf(error), line.url))}`);
    return interrupted.aborted ? exitCodes.interrupted : exitCodes.failed;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Our own errors never show them; those of others that pass through might, and what was not understood may be a URL. */
function withoutSecrets(message: string, url = ''): string {
  const password = /^[^:]+:\/\/[^:@]*:(.*)@/.exec(url)?.[1] ?? '';
  return [url, password, decoded(password)]
    .filter((secret) => secret !== '')
    .reduce((text, secret) => text.replaceAll(secret, '***'), message)
    .replace(/:\/\/\S*@/g, '://***@');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
