import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { eventually, ForeignServerError, RedisServer, ServerNotRunningError, ServerStartError } from '../src/index.js';
import { configOf, exists } from './support/observe.js';

/** Starts a server on a free port, which is looked for at this one first, the very place among 19,000 from 12,000 on. */
async function startBeginningAt(port: number): Promise<RedisServer> {
  const { random } = Math;
  const drawn = [(port - 12_000 + 0.5) / 19_000];
  Math.random = () => drawn.pop() ?? random();
  try {
    return await RedisServer.start();
  } finally {
    Math.random = random;
    expect(drawn).toEqual([]);
  }
}

describe('a server', () => {
  it('is ready when start() resolves, saves nothing and listens on the loopback only', async () => {
    await using server = await RedisServer.start();
    const redis = server.client();
    expect(await redis.ping()).toBe('PONG');
    expect(await configOf(redis, 'save')).toBe('');
    expect(await configOf(redis, 'appendonly')).toBe('no');
    expect(await configOf(redis, 'bind')).toBe('127.0.0.1');
    expect(server.url).toBe(`redis://127.0.0.1:${server.port}`);
    expect(await redis.info('server')).toContain(`process_id:${server.pid}\r\n`);
  });

  it('lets the arguments of the user win', async () => {
    await using server = await RedisServer.start({ args: ['--maxmemory', '10mb', '--appendonly', 'yes'] });
    const redis = server.client();
    expect(await configOf(redis, 'maxmemory')).toBe(String(10 * 1024 * 1024));
    expect(await configOf(redis, 'appendonly')).toBe('yes');
  });

  it('asks for its password, which its url and clients carry', async () => {
    await using server = await RedisServer.start({ password: 'p@ss/word' });
    expect(await server.client().ping()).toBe('PONG');
    const byUrl = new Redis(server.url);
    const without = new Redis({ host: server.host, port: server.port });
    without.on('error', () => undefined);
    try {
      expect(await byUrl.ping()).toBe('PONG');
      await expect(without.get('key')).rejects.toThrow('NOAUTH');
      await expect(server.flush()).resolves.toBeUndefined();
    } finally {
      byUrl.disconnect();
      without.disconnect();
    }
  });

  it('speaks TLS with a certificate that its ca vouches for', async () => {
    await using server = await RedisServer.start({ tls: true });
    expect(server.url).toBe(`rediss://127.0.0.1:${server.port}`);
    expect(await server.client().ping()).toBe('PONG');
    const byUrl = new Redis(server.url, { tls: { ca: server.tls?.ca ?? '' } });
    try {
      expect(await byUrl.ping()).toBe('PONG');
    } finally {
      byUrl.disconnect();
    }
  });

  it('starts several at once, each on its own port', async () => {
    const servers = await Promise.all(Array.from({ length: 5 }, () => RedisServer.start()));
    try {
      expect(new Set(servers.map(({ port }) => port)).size).toBe(5);
      expect(new Set(servers.map(({ pid }) => pid)).size).toBe(5);
    } finally {
      await Promise.all(servers.map((server) => server.stop()));
    }
  });

  it('fails to start with one error that ends with what the server wrote', async () => {
    const start = RedisServer.start({ args: ['--no-such-setting', 'yes'] });
    await expect(start).rejects.toThrow(ServerStartError);
    await expect(start).rejects.toThrow(/did not start[^]*no-such-setting/);
  });

  it('fails to start on a port that is taken, when that port was asked for', async () => {
    await using first = await RedisServer.start();
    const second = RedisServer.start({ port: first.port });
    await expect(second).rejects.toMatchObject({ code: 'SERVER_START_FAILED', portTaken: true });
    expect(await first.client().ping()).toBe('PONG');
  });
});

describe('flush', () => {
  it('empties every database', async () => {
    await using server = await RedisServer.start();
    const redis = server.client();
    await redis.set('key', 'value');
    await redis.select(3);
    await redis.set('key', 'value');
    await server.flush();
    expect(await redis.info('keyspace')).not.toContain('db');
  });

  it('refuses when another process answers on the port, and leaves its data alone', async () => {
    await using gone = await RedisServer.start();
    await gone.kill();
    await using stranger = await RedisServer.start({ port: gone.port });
    await stranger.client().set('precious', 'data');
    await expect(gone.flush()).rejects.toThrow(ForeignServerError);
    expect(await stranger.client().get('precious')).toBe('data');
  });
});

describe('an outage', () => {
  it('kill() ends the process at once; restart() brings an empty one back on the same port', async () => {
    await using server = await RedisServer.start();
    const redis = server.client();
    await redis.set('key', 'value');
    const { pid, port } = server;
    await server.kill();
    expect(exists(pid)).toBe(false);
    expect(server.running).toBe(false);
    expect(() => {
      server.pause();
    }).toThrow(ServerNotRunningError);

    await server.restart();
    expect(server.port).toBe(port);
    expect(server.pid).not.toBe(pid);
    expect(await redis.get('key')).toBeNull(); // the same client has found its way back
  });

  it('keeps its port while it is down: whoever else looks for one is given another', async () => {
    await using server = await RedisServer.start();
    await server.kill();
    await using other = await startBeginningAt(server.port);
    expect(other.port).not.toBe(server.port);
    await server.restart();
  });

  it('restart() brings back what the persistence had written', async () => {
    await using server = await RedisServer.start({ args: ['--appendonly', 'yes'] });
    await server.client().set('key', 'value');
    await server.restart();
    expect(await server.client().get('key')).toBe('value');
  });

  it('restart({ extraArgs }) adds to the settings it was started with', async () => {
    await using server = await RedisServer.start({ args: ['--maxmemory', '10mb', '--databases', '3'] });
    await server.restart({ extraArgs: ['--maxmemory', '20mb'] });
    expect(await server.ask((redis) => redis.config('GET', 'maxmemory'))).toEqual([
      'maxmemory',
      String(20 * 1024 ** 2),
    ]);
    expect(await server.ask((redis) => redis.config('GET', 'databases'))).toEqual(['databases', '3']);
  });

  it('restart({ args }) starts with other settings', async () => {
    await using server = await RedisServer.start({ args: ['--maxmemory', '10mb'] });
    await server.restart({ args: ['--maxmemory', '20mb'] });
    expect(await configOf(server.client(), 'maxmemory')).toBe(String(20 * 1024 * 1024));
  });

  it('pause() stalls the server, resume() lets it carry out what was sent meanwhile', async () => {
    await using server = await RedisServer.start();
    const impatient = server.client({ commandTimeout: 100 });
    await eventually(() => impatient.ping()); // connecting counts, too
    server.pause();
    expect(server.paused).toBe(true);
    await expect(impatient.set('key', 'late')).rejects.toThrow('Command timed out');
    server.resume();
    await eventually(async () => {
      expect(await server.client().get('key')).toBe('late');
    });
  });

  it('notices a server that dies by itself', async () => {
    await using server = await RedisServer.start();
    process.kill(server.pid, 'SIGKILL');
    await eventually(() => !server.running);
    await server.restart();
    expect(await server.client().ping()).toBe('PONG');
  });
});

describe('stop', () => {
  it('gives the port back', async () => {
    // To anybody: now and then somebody else is quicker.
    await eventually(async () => {
      const server = await RedisServer.start();
      await server.stop();
      await using next = await startBeginningAt(server.port);
      expect(next.port).toBe(server.port);
    });
  });

  it('closes the clients, ends the process and removes the folder; twice does no harm', async () => {
    const server = await RedisServer.start();
    const redis = server.client();
    const directory = await configOf(redis, 'dir');
    expect(existsSync(directory)).toBe(true);
    await server.stop();
    await server.stop();
    expect(exists(server.pid)).toBe(false);
    expect(existsSync(directory)).toBe(false);
    await expect(redis.ping()).rejects.toThrow('Connection is closed');
  });

  it('stops a paused server too', async () => {
    const server = await RedisServer.start();
    server.pause();
    await server.stop();
    expect(exists(server.pid)).toBe(false);
  });

  it('keeps a folder of the user, with what the server saves on a regular shutdown', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'redis-testing-spec-'));
    try {
      const options = { dataDir, args: ['--save', '3600 1'] };
      const first = await RedisServer.start(options);
      await first.client().set('key', 'value');
      await first.stop();
      await using second = await RedisServer.start(options);
      expect(await second.client().get('key')).toBe('value');
    } finally {
      await rm(dataDir, { recursive: true });
    }
  });
});
