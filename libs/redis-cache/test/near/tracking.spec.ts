import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { hashSlot, isCluster } from '@redstart/redis-core';
import {
  cluster,
  describeOn,
  eventually,
  FaultProxy,
  RedisCluster,
  RedisServer,
  standalone,
} from '@redstart/redis-testing';
import { startCache } from '../app.js';
import { listen, listenUntilCoherent } from './listening.js';

const patience = { within: 30_000 };
jest.setTimeout(90_000);
/** Enough for every master of a Cluster to own some. */
const names = Array.from({ length: 20 }, (_, index) => `flight-${index}`);

beforeEach(() => {
  jest.spyOn(Logger.prototype, 'log').mockImplementation(() => undefined);
  jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
});
afterEach(() => {
  jest.restoreAllMocks();
});

describeOn(standalone, cluster)('tracking', (redis) => {
  it('hears of all that anybody changes under the prefix, whatever the command, and of nothing else', async () => {
    await using here = await listenUntilCoherent(redis.connection);
    expect(here.coherence.by).toBe('tracking');
    const client = redis.client();
    await client.set('shop:cachet:{flight}', 'not ours');
    await client.set('shop:cache@sessions:{flight}', 'not ours');
    for (const name of names) await client.set(here.at(name), 'old', 'PX', 600_000);
    await eventually(() => {
      expect(new Set(here.heard)).toEqual(new Set(names.map(here.at)));
    }, patience);
    here.heard.length = 0;
    const [first = '', second = '', third = '', fourth = '', fifth = ''] = names.map(here.at);
    await client.unlink(first);
    await client.pexpire(second, 700_000);
    await client.eval("return redis.call('APPEND', KEYS[1], ARGV[1])", 1, third, 'x');
    await client.multi().set(fourth, 'new').exec();
    await client.pexpire(fifth, 1);
    await eventually(async () => {
      expect(await client.exists(fifth)).toBe(0);
      expect(new Set(here.heard)).toEqual(new Set([first, second, third, fourth, fifth]));
    }, patience);
    expect(here.coherent).toBe(true);
  });

  it('hears of what a namespace holds, and of keys with commas and braces in them, as one', async () => {
    await using here = await listenUntilCoherent(redis.connection);
    const keys = [here.keys.namespace('users').entry(['a,b', '{c}']).value, here.keys.entry('grüße').value];
    for (const key of keys) await redis.client().set(key, 'x');
    await eventually(() => {
      expect(here.heard.toSorted()).toEqual(keys.toSorted());
    }, patience);
  });

  it('hears once of a miss and what it stores, of a deletion, and of a written value: nothing of leases', async () => {
    await using here = await listenUntilCoherent(redis.connection);
    await using writer = await startCache(redis.connection, { near: false, jitter: 0 });
    const { cache } = writer;
    expect(await cache.getOrSet('flight', () => 'loaded')).toBe('loaded');
    await cache.delete('flight');
    await expect(cache.getOrSet('flight', () => Promise.reject(new Error('no source')))).rejects.toThrow('no source');
    await cache.set('ended', 1);
    await eventually(() => here.heard.includes(here.at('ended')), patience);
    // What was written before it at another master may be heard later. The version of the cache is renewed now and then.
    await eventually(() => {
      const heard = here.heard.filter((name) => name !== 'shop:cache:version');
      expect(heard.toSorted()).toEqual(['ended', 'flight', 'flight'].map(here.at));
    }, patience);
  });

  it('is told when Redis is emptied, and goes on', async () => {
    await using here = await listenUntilCoherent(redis.connection);
    const before = here.gaps;
    await redis.flush();
    await eventually(() => here.gaps > before, patience);
    expect(here.coherent).toBe(true);
  });

  it('is not coherent while a connection is broken, and is again with the next one, after a gap', async () => {
    await using here = await listenUntilCoherent(redis.connection);
    const before = here.gaps;
    const trusted = jest.fn();
    const { trustedUntil } = here.coherence;
    Object.defineProperty(here.coherence, 'trustedUntil', {
      set: trusted,
      get: () => trustedUntil,
      configurable: true,
    });
    await killPubSub(redis.topology === 'cluster' ? (await redis.cluster.masters())[0] : redis.server);
    await eventually(() => {
      // Not the first: a sign of life that was asked for before may come yet.
      expect(trusted.mock.calls).toContainEqual([-Infinity]);
      expect(here.gaps).toBeGreaterThan(before);
      expect(trusted.mock.lastCall).not.toEqual([-Infinity]);
    }, patience);
    await redis.client().set(here.at('flight'), 'new');
    await eventually(() => here.heard.includes(here.at('flight')), patience);
  });

  it('leaves neither connection nor timer behind', async () => {
    const servers = redis.topology === 'cluster' ? await redis.cluster.masters() : [redis.server];
    const tracking = async () => {
      const lists = await Promise.all(
        servers.map((server) => server.ask(async (client) => String(await client.client('LIST')))),
      );
      return lists.join('').match(/flags=\S*t/g)?.length ?? 0;
    };
    const here = await listenUntilCoherent(redis.connection);
    // Those of the specs before may still be on their way out.
    await eventually(async () => (await tracking()) === servers.length, patience);
    here.coherence.stop();
    expect(here.coherent).toBe(false);
    await eventually(async () => (await tracking()) === 0, patience);
    here.coherence.start();
    await eventually(() => here.coherent, patience);
    await here.connection.close(); // the connection closes what is left
    await eventually(async () => (await tracking()) === 0, patience);
    await here[Symbol.asyncDispose]();
  });
});

describeOn(cluster)('tracking when slots move', (redis) => {
  it('tells of a gap, and hears of the slot at its new owner', async () => {
    await using here = await listenUntilCoherent(redis.connection);
    const [from, to] = [await redis.cluster.nodeOf(here.at('flight')), await redis.cluster.masters()].flat();
    const other = (await redis.cluster.masters()).find((server) => server !== from) ?? to;
    const before = here.gaps;
    if (other === undefined) throw new Error('A cluster of three masters has another one.');
    await redis.cluster.migrateSlot(await redis.cluster.slotOf(here.at('flight')), other);
    await here.connection.client.get(here.at('flight')); // MOVED
    await eventually(() => here.gaps > before && here.coherent, patience);
    here.heard.length = 0;
    await redis.client().set(here.at('flight'), 'new');
    await eventually(() => here.heard.includes(here.at('flight')), patience);
  });
});

describe('tracking when a Cluster is scaled out', () => {
  it('trusts nothing while a slot is on its way to a master without any, and hears of it there afterwards', async () => {
    await using cluster = await RedisCluster.start({ masters: 1, replicas: 0, spares: 1 });
    await using here = await listenUntilCoherent({ cluster: cluster.nodes.slice(0, 1) });
    const { client } = here.connection;
    if (!isCluster(client)) throw new Error('A client of a Cluster was asked for.');
    const lookAtSlots = () =>
      new Promise((resolve) => {
        client.refreshSlotsCache(resolve);
      });
    const [key, spare] = [here.at('flight'), cluster.servers[1]];
    if (spare === undefined) throw new Error('The Cluster has a spare master.');
    await client.set(key, 'old');
    await cluster.migrateSlot(await cluster.slotOf(key), spare, {
      during: async () => {
        for (let time = 0; time < 2; time += 1) {
          await eventually(() => here.coherent, patience);
          const before = here.gaps;
          const onTheWay: unknown[] = [];
          client.once('+node', () => onTheWay.push(here.coherent, here.gaps));
          expect(await client.get(key)).toBe('old'); // ASK
          // From when the client went there, which was before it had an answer.
          expect(onTheWay).toEqual([false, before + 1]);
          await lookAtSlots();
        }
        await eventually(() => here.coherent, patience);
      },
    });
    await client.get(key); // MOVED
    await eventually(() => client.nodes('master').length === 2 && here.coherent, patience);
    await spare.ask((redis) => redis.set(key, 'new'));
    await eventually(() => here.heard.includes(key), patience);
  });
});

describeOn(cluster)('tracking behind a natMap', (redis) => {
  const nameOf = ({ host, port }: { host: string; port: number }) => `${host}:${port}`;
  let proxies: ReadonlyMap<string, FaultProxy>;
  beforeAll(async () => {
    const started = redis.cluster.servers.map(
      async (server) => [nameOf(server), await FaultProxy.start(server)] as const,
    );
    proxies = new Map(await Promise.all(started));
  });
  afterAll(async () => {
    for (const proxy of proxies.values()) await proxy.stop();
  });

  it('goes to where each master is reached, also when a MOVED has just told of its own address', async () => {
    const natMap = (address: string) => proxies.get(address) ?? null;
    const reached = [...proxies.values()].map(({ host, port }) => ({ host, port }));
    await using here = await listenUntilCoherent({ cluster: reached, ioredis: { natMap } });
    const { client } = here.connection;
    if (!isCluster(client)) throw new Error('A client of a Cluster was asked for.');
    const masters = (await redis.cluster.masters()).map(nameOf);
    const owner = nameOf(await redis.cluster.nodeOf(here.at('flight')));
    here.coherence.stop();
    // What ioredis writes down when it follows a MOVED, until it has asked for the slots anew.
    client.slots[hashSlot(here.at('flight'))] = [owner];
    const opened = jest.spyOn(here.connection, 'tracking');
    here.coherence.start();
    expect(opened.mock.calls.flat().toSorted()).toEqual(
      masters.map((master) => nameOf(proxies.get(master) ?? { host: 'none', port: 0 })).toSorted(),
    );
    await eventually(() => here.coherent, patience);
    await redis.client().set(here.at('flight'), 'new');
    await eventually(() => here.heard.includes(here.at('flight')), patience);
  });
});

describe('tracking on a connection that is half open', () => {
  it('ends the trust within the bound, cuts the connection, and is coherent with the next one', async () => {
    await using server = await RedisServer.start();
    await using proxy = await FaultProxy.start(server);
    await using here = await listenUntilCoherent({ url: proxy.url }, { maxLagMs: 900 });
    const before = here.gaps;
    const frozen = proxy.blackhole();
    const frozenAt = here.connection.clock.now();
    // Whatever was trusted then was trusted on the strength of what had been sent before.
    expect(here.coherence.trustedUntil).toBeLessThanOrEqual(frozenAt + 900);
    await eventually(() => here.gaps > before && frozen.injected > 0, patience);
    expect(here.coherent).toBe(false);
    frozen.stop();
    await eventually(() => here.coherent, patience);
  });
});

describe('tracking in a process that stands still', () => {
  it('trusts nothing when it wakes up, until Redis has been heard; then goes on without a gap', async () => {
    await using server = await RedisServer.start();
    // A server that is silent for so long would be a gap.
    await using here = await listenUntilCoherent({ url: server.url }, { maxLagMs: 2_500 });
    const before = here.gaps;
    standStill(3_500);
    expect(here.coherent).toBe(false);
    await eventually(() => here.coherent, patience);
    expect(here.gaps).toBe(before);
  });
});

describe('tracking where it is not to be had', () => {
  async function serverWithout(permission: string): Promise<{ server: RedisServer; url: string }> {
    const server = await RedisServer.start();
    await server.ask((client) => client.acl('SETUSER', 'app', 'on', '>secret', '~*', '&*', '+@all', permission));
    return { server, url: `redis://app:secret@${server.host}:${server.port}` };
  }

  // Not by Pub/Sub: processes that track changes announce none.
  it('stays off when the server refuses it, says once what there is to do, and tries again', async () => {
    const { server, url } = await serverWithout('-client|tracking');
    await using _ = server;
    await using here = await listen({ url }, { maxLagMs: 900 });
    await eventually(async () => {
      const commands = await server.ask((client) => client.info('commandstats'));
      expect(Number(/client\|tracking:.*rejected_calls=(\d+)/.exec(commands)?.[1])).toBeGreaterThanOrEqual(2);
    }, patience);
    expect(here.coherence.by).toBe('tracking');
    expect(here.coherent).toBe(false);
    await server.ask((client) => client.acl('SETUSER', 'app', '+client|tracking'));
    await eventually(() => here.coherent, patience);
    const refusals = jest.mocked(Logger.prototype.warn).mock.calls.flat().map(String);
    expect(refusals.filter((line) => line.includes('does not let'))).toEqual([
      expect.stringContaining("Say coherence: 'pubsub' in all processes"),
    ]);
  });

  it('stays off when the server announces nothing', async () => {
    await using server = await RedisServer.start();
    await using here = await listen({ url: server.url }, { maxLagMs: 3_000 }, (keys) => ({
      ...keys,
      canary: (number) => `elsewhere:${number}`,
    }));
    await eventually(() => {
      expect(Logger.prototype.warn).toHaveBeenCalledWith(expect.stringContaining('does not tell which keys change'));
    }, patience);
    expect(here.coherence.by).toBe('tracking');
    expect(here.coherent).toBe(false);
  });

  it('stays off when it is asked for by name', async () => {
    const { server, url } = await serverWithout('-client|tracking');
    await using _ = server;
    await using here = await listen({ url }, { mode: 'tracking' });
    await eventually(() => {
      expect(Logger.prototype.warn).toHaveBeenCalledWith(expect.stringContaining('off'));
    }, patience);
    expect(here.coherence.by).toBe('tracking');
    expect(here.coherent).toBe(false);
  });

  it('keeps to tracking once it has worked, whatever a server says after a restart', async () => {
    const { server, url } = await serverWithout('+client|tracking');
    await using _ = server;
    await using here = await listenUntilCoherent({ url }, { maxLagMs: 900 });
    await server.ask((client) => client.acl('SETUSER', 'app', '-client|tracking'));
    await eventually(async () => {
      // There is none to be cut while it comes back by itself, which it does when Redis has stood still for longer than the bound.
      await server.ask((client) => client.client('KILL', 'TYPE', 'PUBSUB'));
      expect(Logger.prototype.warn).toHaveBeenCalledWith(expect.stringContaining('off meanwhile'));
    }, patience);
    expect(here.coherent).toBe(false);
    await server.ask((client) => client.acl('SETUSER', 'app', '+client|tracking'));
    await eventually(() => here.coherent, patience);
    expect(here.coherence.by).toBe('tracking');
  });
});

describeOn(cluster)('tracking by a client that reads from replicas', (redis) => {
  it('is not trusted: a replica may not know yet what its master has announced', async () => {
    const client = redis.cluster.client({ scaleReads: 'slave' });
    await using here = await listen({ client, startup: 'lazy' });
    expect(Logger.prototype.warn).toHaveBeenCalledWith(expect.stringContaining('replicas'));
    expect(here.coherence.by).toBeUndefined();
    expect(here.coherent).toBe(false);
  });
});

async function killPubSub(server: RedisServer | undefined): Promise<void> {
  const killed = await server?.ask((client) => client.client('KILL', 'TYPE', 'PUBSUB'));
  expect(Number(killed)).toBeGreaterThan(0);
}

function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
