import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { Controller, Get } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { eventually } from '@redstart/redis-testing';
import { HttpDrain } from '../src/shutdown/http-drain.js';

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

let app: NestExpressApplication;
let agent: Agent;
beforeEach(async () => {
  const compiled = await Test.createTestingModule({ controllers: [Answers], providers: [HttpDrain] }).compile();
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
    const startedAt = performance.now();
    await app.close();
    await Promise.all(closed);
    expect(performance.now() - startedAt).toBeLessThan(8_000);
  });

  it('a connection on which nobody asks is closed after a moment', async () => {
    await expect(ask('quick')).resolves.toEqual({ text: 'quick', connection: 'keep-alive' });
    await app.close();
    expect(isListening()).toBe(false);
  });
});
