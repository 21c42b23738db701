import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Outcome {
  /** Of a program that a signal has ended: `null`. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** When it is ended, in ms: a program that hangs would keep the test from ever ending. */
  readonly within: number;
}

/** Runs a program to its end, whatever that is. */
export async function run(command: string, args: readonly string[], options: RunOptions): Promise<Outcome> {
  const { cwd, env, within } = options;
  const child = spawn(command, args, {
    cwd,
    env,
    timeout: within,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk) => (stderr += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
