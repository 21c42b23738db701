import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';

const dist = join(import.meta.dirname, '../../dist');
const READY_WITHIN_MS = 120_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A script of the built application as a child process, with what it printed. */
export class BuiltProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';

  constructor(script: 'main.js' | 'database/serve-embedded.js', args: string[], environment: NodeJS.ProcessEnv = {}) {
    const { PATH, HOME, TMPDIR } = process.env;
    this.child = spawn(process.execPath, [join(dist, script), ...args], {
      env: { PATH, HOME, TMPDIR, NO_COLOR: '1', ...environment },
      stdio: 'pipe',
    });
    this.child.stdout?.on('data', (chunk) => (this.#stdout += String(chunk)));
    this.child.stderr?.on('data', (chunk) => (this.#stderr += String(chunk)));
    this.ended = once(this.child, 'close').then(([code, signal]: (number | NodeJS.Signals | null)[]) => ({
      code: typeof code === 'number' ? code : null,
      signal: typeof signal === 'string' ? signal : null,
      stdout: this.#stdout,
      stderr: this.#stderr,
    }));
  }

  /** Waits until it has printed something that matches, and returns the match. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    const deadline = Date.now() + READY_WITHIN_MS;
    for (;;) {
      const match = pattern.exec(this.#stdout);
      if (match) return match;
      if (this.child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`Did not print ${pattern.source}. It printed:\n${this.#stdout}${this.#stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** The embedded database as `npm start` runs it. */
export async function serveEmbedded(folder: string): Promise<{ served: BuiltProcess; url: string }> {
  const served = new BuiltProcess('database/serve-embedded.js', ['--data-dir', folder, '--port', '0']);
  const [, url = ''] = await served.printed(/^\{"url":"(postgres:\/\/[^"]+)"\}\n$/);
  return { served, url };
}

/** The API, listening; its address is where it says it listens. */
export async function startApi(environment: NodeJS.ProcessEnv): Promise<{ api: BuiltProcess; address: string }> {
  const api = new BuiltProcess('main.js', [], { PORT: '0', ...environment });
  const [, address = ''] = await api.printed(/Listening on (http:\S+),/);
  return { api, address };
}

/** A loopback port that is in use until the listener is closed. */
export async function occupyPort(): Promise<{ port: number; release: () => void }> {
  const listener = createServer().listen(0);
  await once(listener, 'listening');
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('The listener has no port.');
  return { port: address.port, release: () => listener.close() };
}
