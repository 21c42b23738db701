import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { Programs } from '@redstart/redis-testing/programs';
import type { ThrottlerAppOptions } from './throttler-app.js';
import type { Compared } from './throttler-comparison.js';

/** What one throttler is told for a request; see `throttler-app.ts`. */
export interface Numbers {
  readonly limit: number;
  readonly ttl: number;
  readonly block: number;
}

export interface Ask {
  readonly client: string;
  readonly path?: 'flights' | 'search' | 'health';
  readonly default?: Numbers;
  readonly burst?: Numbers;
  readonly quiet?: Numbers;
  /** Asks the throttler of 2 per minute. */
  readonly plain?: boolean;
}

/** A running application with throttlers, and the way to ask it. */
export interface ThrottlerApp extends AsyncDisposable {
  /** Kills it; resolves when it has ended. */
  [Symbol.asyncDispose](): Promise<void>;
  ask(ask: Ask): Promise<Response>;
  /** How many requests in a row, asked one after the other, got which status. */
  statuses(times: number, ask: Ask): Promise<number[]>;
}

/** Starts an application in a process of its own, in which Node itself loads @nestjs/throttler. */
export async function startThrottlerApp(programs: Programs, options: ThrottlerAppOptions): Promise<ThrottlerApp> {
  const { child, ended, message } = run(programs, 'throttler-app', options);
  const url = String(await message);
  const ask = async ({ path = 'flights', ...request }: Ask) => {
    const response = await fetch(`${url}/${path}`, { headers: headersOf(request) });
    await response.arrayBuffer(); // The connection is free for the next request.
    return response;
  };
  return {
    ask,
    async statuses(times, request) {
      const statuses: number[] = [];
      for (let i = 0; i < times; i++) statuses.push((await ask(request)).status);
      return statuses;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Holds the local throttler against throttler's own storage, on one clock that is driven. @returns how much it has compared */
export async function compareWithTheirs(programs: Programs): Promise<Compared> {
  const { ended, message } = run(programs, 'throttler-comparison', {});
  const compared = await message;
  await ended;
  return compared as Compared;
}

/** A program and the first that it tells, or what it has died of. */
function run(programs: Programs, name: string, options: object) {
  const child = fork(programs.script(`test/processes/${name}`), [JSON.stringify(options)], {
    env: { ...process.env, NODE_OPTIONS: '' },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const ended = once(child, 'close');
  const message = Promise.race([
    once(child, 'message').then(([first]: unknown[]) => first),
    ended.then(() => Promise.reject(new Error(`${name} has ended: ${errors}`))),
  ]);
  return { child, ended, message };
}

function headersOf({ client, plain, ...throttlers }: Omit<Ask, 'path'>): Record<string, string> {
  const headers: Record<string, string> = { 'x-client': client, ...(plain === true && { 'x-plain': 'yes' }) };
  for (const [name, { limit, ttl, block }] of Object.entries<Numbers>(throttlers)) {
    headers[`x-${name}-limit`] = String(limit);
    headers[`x-${name}-ttl`] = String(ttl);
    headers[`x-${name}-block`] = String(block);
  }
  return headers;
}
