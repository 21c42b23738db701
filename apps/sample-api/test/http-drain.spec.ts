import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { Controller, Get } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { AppConfig } from '../src/config/app-config.js';
import { HttpDrain } from '../src/shutdown/http-drain.js';
import { eventually } from './support/eventually.js';

let answerSlow: (() => void) | undefined;

@Controller()
class Answers {
  @Get('quick')
  quick(): string {
    return 'quick';
  }

  @Get('slow')
  async slow(): Promise<string> {
    await new Promise<void>((resolve) => (answerSlow = resolve));
    return 'slow';
  }
}

const config = (environment: NodeJS.ProcessEnv = {}) =>
  AppConfig.from({ DATABASE_URL: 'postgres://db/flights', REDIS_URL: 'redis://cache', ...environment });

/** Its deadline is a matter of numbers, not of waiting for them; and no machine is so busy that a client's pause takes as long as its quiet. */
class TestedDrain extends HttpDrain {
  protected override readonly deadlineMs = 4_000;
  protected override readonly quietMs = 1_500;
}
class KnownDrain extends HttpDrain {
  get deadline(): number {
    return this.deadlineMs;
  }
}

let app: NestExpressApplication;
let agent: Agent;
beforeEach(async () => {
  const compiled = await Test.createTestingModule({
    controllers: [Answers],
    providers: [
      { provide: AppConfig, useValue: config() },
      { provide: HttpDrain, useClass: TestedDrain },
    ],
  }).compile();
  app = compiled.createNestApplication<NestExpressApplication>();
  await app.listen(0, '127.0.0.1');
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
});
afterEach(async () => {
  agent.destroy();
  await app.close();
});

async function ask(path: string, through: Agent | false = agent): Promise<{ text: string; connection?: string }> {
  const request = get(`${await app.getUrl()}/${path}`, { agent: through });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const { connection } = response.headers;
  return { text: await text(response), ...(connection === undefined ? {} : { connection }) };
}
const REQUEST = 'GET /quick HTTP/1.1\r\nHost: a\r\n\r\n';
const isListening = () => app.getHttpServer().listening;

describe('at shutdown', () => {
  it('a request that runs is answered, the next one on its connection is too and hears that it was the last; new ones are refused', async () => {
    const origin = await app.getUrl();
    const running = ask('slow');
    await eventually(() => {
      expect(answerSlow).toBeDefined();
    });
    const queued = ask('quick'); // one connection: it goes out when the first is answered

    let hasClosed = false;
    const closing = app.close().then(() => (hasClosed = true));
    await eventually(() => !isListening());
    await expect(once(get(`${origin}/quick`, { agent: false }), 'response')).rejects.toThrow('ECONNREFUSED');
    expect(hasClosed).toBe(false);
    answerSlow?.();

    await expect(running).resolves.toEqual({ text: 'slow', connection: 'keep-alive' });
    await expect(queued).resolves.toEqual({ text: 'quick', connection: 'close' });
    await closing;
  });

  it('a connection on which a request never comes to its end does not hold it up', async () => {
    const { port, hostname } = new URL(await app.getUrl());
    const silent = connect(Number(port), hostname);
    const half = connect(Number(port), hostname);
    await Promise.all([once(silent, 'connect'), once(half, 'connect')]);
    half.write('GET /quick HTTP/1.1\r\nHost: a');
    const closed = [silent, half].map(
      (socket) => new Promise((resolve) => socket.on('error', resolve).on('close', resolve)),
    );
    await app.close();
    await Promise.all(closed);
  });

  it('that deadline is later than the longest answer, and as the README says', () => {
    const deadline = (environment?: NodeJS.ProcessEnv) =>
      new KnownDrain(app.get(HttpAdapterHost), config(environment)).deadline;
    // Booking goes twice to the database when its lock got lost, and needs two seconds for Redis at most.
    for (const seconds of [1, 5, 60]) {
      const longestAnswer = 2 * seconds * 1_000 + 2_000;
      expect(deadline({ DATABASE_TIMEOUT_SECONDS: String(seconds) })).toBeGreaterThan(longestAnswer);
    }
    const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
    expect(readme).toContain(`is not answered after ${deadline() / 1_000} s is cut off`);
  });

  it('a connection whose client pauses between its requests is not closed under its next one', async () => {
    const { port, hostname } = new URL(await app.getUrl());
    const pauses = [0, 50, 100, 150, 200];
    const connections = await Promise.all(
      pauses.map(async () => {
        const socket = connect(Number(port), hostname);
        const heard = { text: '' };
        socket.on('data', (bytes) => (heard.text += String(bytes))).on('error', () => undefined);
        socket.write(REQUEST);
        await eventually(() => {
          expect(heard.text).toMatch(/quick$/);
        });
        heard.text = '';
        return { socket, heard };
      }),
    );

    const closing = app.close();
    await eventually(() => !isListening());
    await Promise.all(
      connections.map(async ({ socket, heard }, index) => {
        await pause(pauses[index]);
        socket.write(REQUEST);
        await once(socket, 'close');
        expect(heard.text).toMatch(/^HTTP\/1\.1 200 OK\r\n(.*\r\n)?Connection: close\r\n.*quick$/s);
      }),
    );
    await closing;
  });

  it('a request that comes while the process stands still is answered, and not taken for quiet', async () => {
    const { port, hostname } = new URL(await app.getUrl());
    const socket = connect(Number(port), hostname);
    const heard = { text: '' };
    socket.on('data', (bytes) => (heard.text += String(bytes))).on('error', () => undefined);
    socket.write(REQUEST);
    await eventually(() => {
      expect(heard.text).toMatch(/quick$/);
    });
    heard.text = '';

    const closing = app.close();
    await eventually(() => !isListening());
    const closed = once(socket, 'close');
    // Timers come next, and whatever is read comes behind them.
    setImmediate(() => {
      socket.write(REQUEST);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000);
    });
    await closed;
    expect(heard.text).toMatch(/^HTTP\/1\.1 200 OK\r\n(.*\r\n)?Connection: close\r\n.*quick$/s);
    await closing;
  });

  it('a connection on which nobody asks is closed after a moment', async () => {
    await expect(ask('quick')).resolves.toEqual({ text: 'quick', connection: 'keep-alive' });
    await app.close();
    expect(isListening()).toBe(false);
  });
});
