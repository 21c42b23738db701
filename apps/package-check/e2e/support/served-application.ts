import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Redis } from 'ioredis';
import type { Outcome } from './run.js';
import { redisServerBinary } from './workspace.js';

const READY_WITHIN_MS = 60_000;
const ENDED_WITHIN_MS = 40_000;

/**
 * The compiled application as a process of its own, with the Redis that it has started.
 *
 * It listens when `start()` resolves. `end()` closes its stdin, upon which it closes itself and its Redis; the same happens if this
 * process ends first. One that does not end by itself is killed.
 */
export class ServedApplication {
  /** To look at Redis' own state. */
  readonly redis: Redis;
  readonly #child: ChildProcess;
  readonly #ended: Promise<Outcome>;
  readonly #url: string;

  private constructor(
    child: ChildProcess,
    ended: Promise<Outcome>,
    /** The line that it printed when it came to listen. */
    readonly announcement: string,
  ) {
    const { api, redis } = JSON.parse(announcement) as { api: string; redis: string };
    this.#child = child;
    this.#ended = ended;
    this.#url = api;
    this.redis = new Redis(redis, { retryStrategy: null });
    // Its server ends before it does. Whatever fails until then is told by the command that fails.
    this.redis.on('error', () => undefined);
  }

  /** @throws Error with what it printed when it does not come to listen */
  static async start(folder: string, adapter: string): Promise<ServedApplication> {
    const { PATH, HOME, TMPDIR } = process.env;
    const env = { PATH, HOME, TMPDIR, NO_COLOR: '1', ...redisServerBinary() };
    const child = spawn(process.execPath, ['dist/test/serve.js', adapter], { cwd: folder, env, stdio: 'pipe' });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => (stdout += String(chunk)));
    child.stderr.on('data', (chunk) => (stderr += String(chunk)));
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }));
    const timer = setTimeout(() => child.kill('SIGKILL'), READY_WITHIN_MS);
    const line = await Promise.race([
      once(createInterface({ input: child.stdout }), 'line').then(([text]) => String(text)),
      ended.then(({ code }) => {
        throw new Error(`The application has ended with ${String(code)} before it listened:\n${stdout}${stderr}`);
      }),
    ]).finally(() => {
      clearTimeout(timer);
    });
    return new ServedApplication(child, ended, line);
  }

  async request(method: string, path: string): Promise<{ status: number; headers: Headers; body: unknown }> {
    const response = await fetch(`${this.#url}/${path}`, { method });
    return { status: response.status, headers: response.headers, body: await response.json() };
  }

  async end(): Promise<Outcome> {
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), ENDED_WITHIN_MS);
    return this.#ended.finally(() => {
      clearTimeout(timer);
      this.redis.disconnect();
    });
  }
}
