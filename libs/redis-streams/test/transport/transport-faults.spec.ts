import { Controller } from '@nestjs/common';
import { MessagePattern, type MicroserviceOptions } from '@nestjs/microservices';
import { eventually, FaultProxy, RedisServer, type FaultHandle } from '@redstart/redis-testing';
import { defer, firstValueFrom, from, lastValueFrom, toArray } from 'rxjs';
import { compileApp } from '../support/start-app.js';
import { closeHybrids, startHybrid } from './start-hybrid.js';
import { RedisStreams } from '../../src/index.js';
import { RedisStreamsClient, RedisStreamsServer } from '../../src/transport/index.js';

describe('the transport on a bad network', () => {
  it('tells each value once when the replies of Redis to a server are lost', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using _apps = { [Symbol.asyncDispose]: closeHybrids };
    let calls = 0;
    let lost: FaultHandle | undefined;
    @Controller()
    class Counting {
      @MessagePattern('count')
      count(_: unknown) {
        return defer(() => {
          // Not in the first call: Redis has yet to be told the script then, and would not have carried it out.
          if (calls++ > 0) lost = proxy.dropReply('EVALSHA', { times: 5, thenReset: true });
          return from([1, 2, 3]);
        });
      }
    }
    await startHybrid({ connection: { url: proxy.url }, controllers: [Counting], options: { claimInterval: '10m' } });
    const { client } = await startHybrid({ connection: { url: server.url }, controllers: [] });
    for (let call = 0; call < 2; call += 1) {
      expect(await lastValueFrom(client.send('count', {}).pipe(toArray()))).toEqual([1, 2, 3]);
    }
    expect(lost?.injected).toBeGreaterThan(0);
    // Two requests, and more than six replies: some were added again, since Redis seemed not to have answered.
    const added = /cmdstat_xadd:calls=(\d+)/.exec(await server.client().info('commandstats'))?.[1];
    expect(Number(added)).toBeGreaterThan(8);
  });

  it('hears replies although the connection that waits for them is cut', async () => {
    await using server = await RedisServer.start();
    await using _apps = { [Symbol.asyncDispose]: closeHybrids };
    let open: () => void = () => undefined;
    const opened = new Promise<string>((resolve) => {
      open = () => {
        resolve('in the end');
      };
    });
    let begun = 0;
    @Controller()
    class Slow {
      @MessagePattern('slow')
      slow(_: unknown) {
        begun += 1;
        return opened;
      }
    }
    const { client } = await startHybrid({ connection: { url: server.url }, controllers: [Slow] });
    const reply = firstValueFrom(client.send('slow', {}));
    await eventually(() => begun === 1);
    const admin = server.client();
    const readers = await eventually(async () => {
      const lines = String(await admin.client('LIST')).split('\n');
      const found = lines.filter((line) => line.includes('cmd=xread ') && / flags=\w*b/.test(line));
      expect(found).toHaveLength(1);
      return found;
    });
    await admin.client('KILL', 'ID', /^id=(\d+)/.exec(readers[0] ?? '')?.[1] ?? '');
    open();
    expect(await reply).toBe('in the end');
  });
});

describe('RedisStreamsServer as an application of its own', () => {
  it('starts and stops with it, and tells its state', async () => {
    await using server = await RedisServer.start();
    @Controller()
    class Echo {
      @MessagePattern('echo')
      echo(data: unknown) {
        return data;
      }
    }
    const module = await compileApp({ connection: { url: server.url }, streams: [], controllers: [Echo] });
    const streams = module.get(RedisStreams);
    const strategy = new RedisStreamsServer({ streams, stream: 'echoes', group: 'echo' });
    const options: Readonly<MicroserviceOptions> = { strategy };
    const states: string[] = [];
    strategy.status.subscribe((state) => states.push(state));
    const app = module.createNestMicroservice(options);
    app.useLogger(false);
    await app.listen();
    const client = new RedisStreamsClient({ streams, stream: 'echoes' });
    expect(await firstValueFrom(client.send('echo', { id: 1 }))).toEqual({ id: 1 });
    await client.close();
    await app.close();
    expect(states).toEqual(['connected', 'disconnected']);
    // It has left its group, and nothing of it blocks.
    expect(await server.client().xinfo('CONSUMERS', 'shop:stream:{echoes.requests}', 'rpc')).toEqual([]);
  });

  it('refuses wrong options, by name', async () => {
    await using server = await RedisServer.start();
    const module = await compileApp({ connection: { url: server.url }, streams: [] });
    const streams = module.get(RedisStreams);
    const wrong = (options: object) => () => new RedisStreamsServer({ streams, stream: 'a', group: 'b', ...options });
    expect(wrong({ streams: {} })).toThrow('RedisStreamsServer.streams: expected RedisStreams');
    expect(wrong({ group: '' })).toThrow('RedisStreamsServer.group');
    expect(wrong({ stream: '' })).toThrow('RedisStreamsServer.stream');
    expect(wrong({ queue: 'a' })).toThrow('RedisStreamsServer.queue: is not an option');
    expect(() => new RedisStreamsClient({ streams, stream: 'a', timeout: 0 })).toThrow('RedisStreamsClient.timeout');
    await module.close();
  });
});
