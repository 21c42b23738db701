import { ClusterNotReadyError, eventually, RedisCluster } from '../src/index.js';
import { exists } from './support/observe.js';

describe('three masters', () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await RedisCluster.start({ masters: 3, replicas: 0 });
  });
  afterAll(() => cluster.stop());
  beforeEach(() => cluster.flush());

  it('share all slots and agree on it', async () => {
    expect(await cluster.masters()).toEqual(cluster.servers);
    for (const server of cluster.servers) {
      const info = await server.ask((redis) => redis.cluster('INFO'));
      expect(info).toContain('cluster_state:ok');
      expect(info).toContain('cluster_slots_ok:16384');
    }
  });

  it('hold each key where nodeOf says', async () => {
    const redis = cluster.client();
    const owners = new Set<number>();
    for (let n = 0; n < 20; n++) {
      await redis.set(`key:${n}`, n);
      const owner = await cluster.nodeOf(`key:${n}`);
      expect(await owner.client().get(`key:${n}`)).toBe(String(n));
      owners.add(owner.port);
    }
    expect(owners.size).toBe(3);
  });

  it('are emptied by flush, all of them', async () => {
    const redis = cluster.client();
    for (let n = 0; n < 20; n++) await redis.set(`key:${n}`, n);
    await cluster.flush();
    const sizes = await Promise.all(cluster.servers.map((server) => server.client().dbsize()));
    expect(sizes).toEqual([0, 0, 0]);
  });

  it('hand a slot and its keys to another one', async () => {
    const redis = cluster.client();
    await redis.set('{user:7}:name', 'Ada');
    await redis.set('{user:7}:mail', 'ada@example.org');
    const [old, slot] = [await cluster.nodeOf('{user:7}'), await cluster.slotOf('{user:7}')];
    const next = cluster.servers.find((server) => server !== old) ?? old;

    await cluster.migrateSlot(slot, next);

    expect(await cluster.nodeOf('{user:7}')).toBe(next);
    expect(await next.client().get('{user:7}:name')).toBe('Ada');
    await expect(old.client().get('{user:7}:name')).rejects.toThrow(`MOVED ${slot} ${next.host}:${next.port}`);
    for (const server of cluster.servers.filter((other) => other !== next)) {
      await expect(server.client().get('{user:7}:mail')).rejects.toThrow('MOVED');
    }
    expect(await redis.get('{user:7}:mail')).toBe('ada@example.org'); // the client follows
  });

  it('answer ASK in the middle of the move', async () => {
    const redis = cluster.client();
    await redis.set('order:9', 'paid');
    const [old, slot] = [await cluster.nodeOf('order:9'), await cluster.slotOf('order:9')];
    const next = cluster.servers.find((server) => server !== old) ?? old;
    let asked = 0;
    await cluster.migrateSlot(slot, next, {
      during: async () => {
        await expect(old.client().get('order:9')).rejects.toThrow(`ASK ${slot} ${next.host}:${next.port}`);
        expect(await redis.get('order:9')).toBe('paid');
        asked += 1;
      },
    });
    expect(asked).toBe(1);
  });

  it('are looked at no more by a client that is closed in the middle of a look', async () => {
    const own = await RedisCluster.start({ masters: 1, replicas: 0, spares: 1 });
    const redis = own.client({ slotsRefreshInterval: 10 });
    await redis.ping();
    const looks: (() => void)[] = [];
    redis.refreshSlotsCache = (answered) => {
      looks.push(() => answered?.());
    };
    await eventually(() => looks.length === 1);
    await own.stop();
    looks[0]?.(); // What it had asked is answered.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(looks).toHaveLength(1);
  });

  it('refuse a slot or a target that does not exist', async () => {
    const [first] = await cluster.masters();
    await expect(cluster.migrateSlot(16_384, first ?? fail())).rejects.toThrow(ClusterNotReadyError);
  });
});

describe('a cluster that is being scaled out', () => {
  it('has masters without slots, until it is given some', async () => {
    await using cluster = await RedisCluster.start({ masters: 1, replicas: 0, spares: 1 });
    const [master = fail(), spare = fail()] = await cluster.masters();
    const redis = cluster.client();
    await redis.set('order:9', 'paid');
    expect(await cluster.nodeOf('order:9')).toBe(master);
    await cluster.migrateSlot(await cluster.slotOf('order:9'), spare);
    expect(await cluster.nodeOf('order:9')).toBe(spare);
    expect(await redis.get('order:9')).toBe('paid');
  });
});

describe('masters with replicas', () => {
  it('are in sync at the start, replace a dead master, and are gone after stop', async () => {
    await using cluster = await RedisCluster.start({ masters: 3, replicas: 1 });
    const pids = cluster.servers.map(({ pid }) => pid);
    expect(cluster.servers).toHaveLength(6);
    for (const replica of cluster.servers.slice(3)) {
      expect(await replica.ask((redis) => redis.info('replication'))).toMatch(/role:slave[^]*master_link_status:up/);
    }
    const old = await cluster.nodeOf('key');
    await old.kill();
    await eventually(
      async () => {
        expect(await cluster.nodeOf('key')).not.toBe(old);
        expect(await cluster.client().set('key', 'value')).toBe('OK');
      },
      { within: 40_000 },
    );
    expect(await cluster.masters()).toHaveLength(3);
    await cluster.flush(); // leaves the dead node aside
    await cluster.stop();
    expect(pids.some(exists)).toBe(false);
  }, 90_000);

  it('say why a node does not start', async () => {
    const start = RedisCluster.start({ masters: 3, replicas: 0, args: ['--no-such-setting', 'yes'] });
    await expect(start).rejects.toThrow('no-such-setting');
  });
});

function fail(): never {
  throw new Error('The cluster has no master.');
}
