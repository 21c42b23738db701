import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { eventually, RedisServer } from '@redstart/redis-testing';
import { Programs } from '@redstart/redis-testing/programs';
import type { PoisonedOptions } from './processes/poisoned-consumer.js';
import { entries } from './support/read-redis.js';

const innocents = [1, 2, 3, 4, 5, 6, 7, 8, 9];
/** It is delivered as often as allowed, and tried three times. */
const crashes = 2 + 3;
/** A machine that stands still may keep a consumer from settling what it has begun. */
const mostProcesses = 12;

describe('a message that kills its process', () => {
  let programs: Programs;
  beforeAll(async () => {
    programs = await Programs.compile(join(import.meta.dirname, '..'), 'test/processes');
  }, 60_000);
  afterAll(() => programs[Symbol.asyncDispose]());

  /** Runs one consumer after the other, until one has come to the end. @returns how many have died of their messages */
  async function runUntil(end: () => Promise<boolean>, options: PoisonedOptions): Promise<number> {
    const program = programs.script('test/processes/poisoned-consumer');
    for (let died = 0; died < mostProcesses; died += 1) {
      const child = fork(program, [JSON.stringify(options)], {
        env: { ...process.env, NODE_OPTIONS: '' },
        execArgv: [],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      const closed = once(child, 'close');
      const came = await eventually(
        async () => {
          if (child.exitCode !== null) return 'died';
          return (await end()) && 'over';
        },
        { within: 60_000 },
      ).finally(() => child.kill('SIGKILL'));
      const [code] = (await closed) as [number | null];
      if (came === 'over') return died;
      expect(code).toBe(7);
    }
    throw new Error(`${mostProcesses} processes have died, and there is no end.`);
  }

  it.each([
    { kind: 'stream', partitions: undefined, stream: 'shop:stream:{jobs}' },
    { kind: 'partitioned stream', partitions: 1, stream: 'shop:stream:{jobs/0}' },
  ])(
    'is the only dead letter of a $kind: what stood beside it is handled',
    async ({ partitions, stream }) => {
      await using server = await RedisServer.start();
      const client = server.client();
      for (const n of [0, ...innocents]) {
        await client.xadd(stream, '*', 't', 'job', 'd', JSON.stringify({ n }), 'k', 'one key');
      }
      const letters = async () => (await entries(client, `${stream}:dlq:workers`)).map((letter) => letter['d']);
      const handled = async () => [...new Set(await client.lrange('handled', 0, -1))].map(Number);
      const settled = async () => {
        const [count] = (await client.xpending(stream, 'workers')) as [number];
        return count === 0 && (await letters()).length + (await handled()).length >= 10;
      };

      const died = await runUntil(settled, { url: server.url, ...(partitions === undefined ? {} : { partitions }) });

      expect(await entries(client, `${stream}:dlq:workers`)).toMatchObject([
        { d: '{"n":0}', 'x-reason': 'deliveries' },
      ]);
      const numbers = await handled();
      // Of one key: in their order.
      expect(partitions === undefined ? numbers.toSorted() : numbers).toEqual(innocents);
      expect(died).toBeGreaterThanOrEqual(crashes);
    },
    180_000,
  );
});
