import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';

/** A program that runs, with all that it prints. Killed when it goes out of scope. */
export class Running implements AsyncDisposable {
  readonly child: ChildProcess;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  #output = '';

  constructor(command: string, args: readonly string[], options: SpawnOptions = {}) {
    this.child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk) => (this.#output += String(chunk)));
    }
    this.ended = once(this.child, 'close').then(([code, signal]: (number | string | null)[]) => code ?? String(signal));
  }

  /** What it has printed so far, both streams together. */
  get output(): string {
    return this.#output;
  }

  /** Waits until it has printed something that matches; fails when it ends without. */
  async printed(pattern: RegExp, withinMs = 60_000): Promise<RegExpExecArray> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const match = pattern.exec(this.#output);
      if (match) return match;
      const isOver = this.child.exitCode !== null || this.child.signalCode !== null;
      if (isOver || performance.now() > deadline) throw new Error(`Did not print ${pattern.source}:\n${this.#output}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** The environment without what the Nx and the npm around this test say about themselves. */
export function plainEnvironment(changes: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|NX_|NODE_OPTIONS|JEST_|REDSTART_)/i.test(name));
  return { ...Object.fromEntries(kept), ...changes };
}
