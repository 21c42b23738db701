import {
  Injectable,
  UseGuards,
  UseInterceptors,
  type CanActivate,
  type NestInterceptor,
  type ExecutionContext,
} from '@nestjs/common';
import type { INestApplication, WebSocketAdapter } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { WsAdapter } from '@nestjs/platform-ws';
import { SubscribeMessage, WebSocketGateway, WsException, type OnGatewayConnection } from '@nestjs/websockets';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import { once } from 'node:events';
import { Observable, of } from 'rxjs';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import {
  by,
  concurrency,
  createPolicies,
  currentSlot,
  RateLimit,
  RateLimitGuard,
  RateLimitService,
  slidingWindow,
} from '../src/index.js';
import { compileApp } from './test-app.js';

const policies = createPolicies({
  everything: slidingWindow({ limit: 1_000, window: '1m' }),
  chat: slidingWindow({ limit: 2, window: '1m' }),
  streams: concurrency({ limit: 1, lease: '30s' }),
});

/** Finds the user in the handshake, as an authentication guard does. */
@Injectable()
class UserGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const client: { user?: unknown; data?: { user?: unknown } } = context.switchToWs().getClient();
    const data: unknown = context.switchToWs().getData();
    if (typeof data !== 'object' || data === null || !('as' in data)) return true;
    if (client.data === undefined) client.user = { id: data.as };
    else client.data.user = { id: data.as };
    return true;
  }
}

/** Answers in the place of the handler, as a cache does, or throws. */
const shortcut: NestInterceptor = {
  intercept(context, next) {
    const data: unknown = context.switchToWs().getData();
    if (data === 'cached') return of({ event: 'said', data: 'cached' });
    if (data === 'fails') throw new WsException('on purpose');
    return next.handle();
  },
};

let connections = 0;
const streams: (() => void)[] = [];

@RateLimit('chat')
@UseGuards(UserGuard)
@UseInterceptors(shortcut)
@WebSocketGateway()
class ChatGateway implements OnGatewayConnection {
  handleConnection(): void {
    connections++;
  }

  @UseGuards(RateLimitGuard)
  @SubscribeMessage('say')
  say(): { event: string; data: unknown } {
    return { event: 'said', data: 'ok' };
  }

  @RateLimit('chat', { key: by.header('x-device') })
  @SubscribeMessage('device')
  device(): { event: string; data: unknown } {
    return { event: 'said', data: 'ok' };
  }

  @RateLimit('streams', { key: () => 'k' })
  @SubscribeMessage('stream')
  stream(): Observable<{ event: string; data: unknown }> {
    const data = currentSlot()?.decision.policy;
    return new Observable((subscriber) => {
      subscriber.next({ event: 'said', data });
      streams.push(() => {
        subscriber.complete();
      });
    });
  }
}

/** A client of either kind: what it sends, and what it is told. */
interface Client {
  readonly told: { event: string; data: unknown }[];
  send(event: string, data?: unknown): void;
  close(): void;
}

type Connect = (url: string, headers: Record<string, string>) => Promise<Client>;

const overSocketIo: Connect = async (url, extraHeaders) => {
  const socket = io(url, { extraHeaders, forceNew: true, reconnection: false });
  const told: Client['told'] = [];
  socket.onAny((event: string, data: unknown) => told.push({ event, data }));
  await new Promise<void>((resolve, reject) => {
    socket.on('connect', resolve);
    socket.on('connect_error', reject);
  });
  return { told, send: (event, data) => socket.emit(event, data), close: () => socket.disconnect() };
};

const overWs: Connect = async (url, headers) => {
  const socket = new WebSocket(url.replace('http', 'ws'), { headers });
  const told: Client['told'] = [];
  socket.on('message', (message: Buffer) => told.push(JSON.parse(message.toString()) as Client['told'][number]));
  await once(socket, 'open');
  return {
    told,
    send: (event, data) => {
      socket.send(JSON.stringify({ event, data }));
    },
    close: () => {
      socket.close();
    },
  };
};

const kinds: [string, Connect, (app: INestApplication) => WebSocketAdapter, () => ExpressAdapter | FastifyAdapter][] = [
  ['socket.io on Express', overSocketIo, (app) => new IoAdapter(app), () => new ExpressAdapter()],
  ['ws on Express', overWs, (app) => new WsAdapter(app), () => new ExpressAdapter()],
  ['ws on Fastify', overWs, (app) => new WsAdapter(app), () => new FastifyAdapter({ trustProxy: '127.0.0.1' })],
];

describeOn(standalone)('limited gateways', (redis) => {
  describe.each(kinds)('over %s', (_, connect, adapter, http) => {
    let app: INestApplication;
    let url: string;
    const clients: Client[] = [];
    const open = async (headers: Record<string, string> = {}) => {
      const client = await connect(url, headers);
      clients.push(client);
      return client;
    };
    const remaining = async (policy: string, key: string | string[]) =>
      (await app.get(RateLimitService).peek(policy, key)).remaining;
    const answers = (client: Client, count: number) =>
      eventually(
        () => {
          expect(client.told).toHaveLength(count);
          return client.told;
        },
        { within: 20_000 },
      );

    beforeAll(async () => {
      const testing = await compileApp(
        redis.connection,
        {
          policies,
          global: [{ policy: 'everything', on: ['ws'], key: () => 'all' }],
          budget: '5s',
          deniedKeys: 0,
        },
        { providers: [ChatGateway] },
      );
      app = testing.createNestApplication(http());
      app.useWebSocketAdapter(adapter(app));
      const framework: unknown = app.getHttpAdapter().getInstance();
      if (typeof framework === 'function' && 'set' in framework && typeof framework.set === 'function') {
        Reflect.apply(framework.set, framework, ['trust proxy', 'loopback']);
      }
      await app.listen(0, '127.0.0.1');
      url = await app.getUrl();
    });
    afterAll(() => app.close());
    beforeEach(async () => {
      streams.length = 0;
      await redis.flush();
    });
    afterEach(() => {
      for (const client of clients.splice(0)) client.close();
    });

    it('counts each message, once, and tells a denial as the exception of its event', async () => {
      const client = await open();
      for (let i = 0; i < 3; i++) client.send('say');
      const told = await answers(client, 3);
      expect(told.filter(({ event }) => event === 'said')).toHaveLength(2);
      const denial = told.find(({ event }) => event === 'exception')?.data;
      expect(denial).toMatchObject({
        status: 'error',
        code: 'RATE_LIMIT_EXCEEDED',
        message: expect.stringMatching(/^Try again in/) as unknown,
        'violated-policies': ['chat'],
      });
      expect(denial).toHaveProperty('retryAfter');
      expect(await remaining('everything', 'all')).toBe(998);
    });

    it('counts by the address of the handshake, as the framework trusts it', async () => {
      const near = await open();
      const far = await open({ 'x-forwarded-for': '203.0.113.9, 198.51.100.7' });
      near.send('say');
      far.send('say');
      await Promise.all([answers(near, 1), answers(far, 1)]);
      expect(await remaining('chat', ['ip', '127.0.0.1'])).toBe(1);
      expect(await remaining('chat', ['ip', '198.51.100.7'])).toBe(1);
    });

    it('counts by the user, and by a header of the handshake', async () => {
      const client = await open({ 'x-device': 'd1' });
      client.send('say', { as: 'ann' });
      client.send('device');
      await answers(client, 2);
      expect(await remaining('chat', ['user', 'ann'])).toBe(1);
      expect(await remaining('chat', ['header', 'x-device', 'd1'])).toBe(1);
    });

    it('refuses a message without the identity, and one whose identity is no key', async () => {
      const client = await open();
      client.send('device');
      expect((await answers(client, 1))[0]?.data).toMatchObject({ code: 'RATE_LIMIT_KEY_MISSING' });
      client.send('say', { as: '\ud800' });
      expect((await answers(client, 2))[1]?.data).toMatchObject({ code: 'RATE_LIMIT_INPUT' });
      client.send('say', { as: `{}\r\n${'x'.repeat(900_000)}` });
      expect((await answers(client, 3))[2]).toEqual({ event: 'said', data: 'ok' });
    });

    it('holds a slot as long as the answers of a message go on', async () => {
      const client = await open();
      client.send('stream');
      expect(await answers(client, 1)).toEqual([{ event: 'said', data: 'streams' }]);
      expect(await remaining('streams', 'k')).toBe(0);
      client.send('stream');
      expect((await answers(client, 2))[1]?.data).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED' });
      streams[0]?.();
      await eventually(async () => (await remaining('streams', 'k')) === 1, { within: 20_000 });
    });

    it.each(['cached', 'fails'])("gives the slot back with an answer that was not the handler's: %s", async (data) => {
      const client = await open();
      client.send('stream', data);
      expect(await answers(client, 1)).toMatchObject([{ event: data === 'fails' ? 'exception' : 'said' }]);
      // Sooner than after the 10 s that a later guard may take.
      await eventually(async () => (await remaining('streams', 'k')) === 1, { within: 7_000 });
      expect(streams).toEqual([]);
    });

    it('lets the gateway hear of its connections as before', async () => {
      const before = connections;
      await open();
      await eventually(() => connections === before + 1);
    });
  });
});
