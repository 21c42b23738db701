import {
  cluster,
  describeOn,
  type RedisServer,
  sentinel,
  standalone,
  TopologyMisusedError,
  type TopologyUnderTest,
} from '../src/index.js';
import { exists } from './support/observe.js';

const ports = new Map<string, Set<number>>();
const notePort = (redis: TopologyUnderTest, port: number) => {
  ports.set(redis.topology, (ports.get(redis.topology) ?? new Set()).add(port));
};

for (const suite of ['first suite', 'second suite of the file']) {
  describeOn(
    standalone,
    cluster,
    sentinel,
  )(suite, (redis) => {
    const anyPort = () => (redis.topology === 'cluster' ? redis.cluster.servers[0] : redis.server)?.port ?? NaN;

    it.each([1, 2])('starts test %i with an empty Redis', async () => {
      const client = redis.client();
      expect(await client.get('left-over')).toBeNull();
      await client.set('left-over', 'value');
      notePort(redis, anyPort());
    });

    it('tells how to connect', () => {
      const { connection } = redis;
      if (redis.topology === 'standalone') expect(connection).toEqual({ url: redis.server.url });
      if (redis.topology === 'cluster') expect(connection).toEqual({ cluster: redis.cluster.nodes });
      if (redis.topology === 'sentinel') {
        expect(connection).toEqual({ sentinels: redis.sentinel.sentinels, masterName: redis.sentinel.masterName });
      }
    });

    it('has only the parts of its topology', () => {
      if (redis.topology === 'cluster') expect(() => redis.server).toThrow(/redis\.cluster\.servers/);
      else expect(() => redis.cluster).toThrow(TopologyMisusedError);
    });
  });
}

describe('the suites of one file', () => {
  it('have shared one Redis of each kind', () => {
    const wanted = process.env['REDSTART_TOPOLOGY'];
    if (wanted === undefined) expect([...ports.keys()]).toEqual(['standalone', 'cluster', 'sentinel']);
    for (const seen of ports.values()) expect(seen.size).toBe(1);
  });
});

/** Runs describeOn with globals of our own, to see what it declares and to run its hooks by hand. */
async function declare(
  env: string | undefined,
  use: (declared: {
    names: string[];
    skipped: string[];
    hooks: Record<string, (() => Promise<void>)[]>;
  }) => Promise<void>,
  body: (redis: TopologyUnderTest) => void = () => undefined,
) {
  const names: string[] = [];
  const skipped: string[] = [];
  const hooks: Record<string, (() => Promise<void>)[]> = { beforeAll: [], beforeEach: [], afterAll: [] };
  const hook = (kind: string) => (work: () => Promise<void>) => {
    hooks[kind]?.push(work);
  };
  const suite = (name: string, declareSuite: () => void) => {
    names.push(name);
    declareSuite();
  };
  const globals = {
    describe: Object.assign(suite, { skip: (name: string) => skipped.push(name) }),
    beforeAll: hook('beforeAll'),
    beforeEach: hook('beforeEach'),
    afterAll: hook('afterAll'),
  };
  const real = Object.fromEntries(Object.keys(globals).map((key) => [key, Reflect.get(globalThis, key) as unknown]));
  const realEnv = process.env['REDSTART_TOPOLOGY'];
  try {
    Object.assign(globalThis, globals);
    if (env === undefined) delete process.env['REDSTART_TOPOLOGY'];
    else process.env['REDSTART_TOPOLOGY'] = env;
    describeOn(standalone, cluster)('release', body);
  } finally {
    Object.assign(globalThis, real);
    if (realEnv === undefined) delete process.env['REDSTART_TOPOLOGY'];
    else process.env['REDSTART_TOPOLOGY'] = realEnv;
  }
  await use({ names, skipped, hooks });
}

describe('describeOn', () => {
  it('names each suite after its topology', () =>
    declare(undefined, ({ names }) => {
      expect(names).toEqual(['release [standalone]', 'release [cluster]']);
      return Promise.resolve();
    }));

  it('skips what REDSTART_TOPOLOGY does not list', () =>
    declare(' cluster ,sentinel', ({ names, skipped }) => {
      expect(names).toEqual(['release [cluster]']);
      expect(skipped).toEqual(['release [standalone]']);
      return Promise.resolve();
    }));

  it('refuses an unknown name in REDSTART_TOPOLOGY', async () => {
    const declared = declare('clsuter', () => Promise.resolve());
    await expect(declared).rejects.toThrow('REDSTART_TOPOLOGY names clsuter, which is unknown');
  });

  it('stops what it started, and the clients it handed out, when the file has ended', async () => {
    let handle: TopologyUnderTest | undefined;
    let server: RedisServer | undefined;
    await declare(
      'standalone',
      async ({ hooks }) => {
        const run = async (kind: string) => {
          for (const work of hooks[kind] ?? []) await work();
        };
        expect(() => handle?.connection).toThrow(/inside tests and hooks/);
        await run('beforeAll');
        await run('beforeEach');
        server = handle?.server;
        expect(server?.running).toBe(true);
        const client = handle?.client();
        expect(await client?.ping()).toBe('PONG');
        await run('afterAll');
        expect(server?.running).toBe(false);
        expect(exists(server?.pid ?? 0)).toBe(false);
        await expect(client?.ping()).rejects.toThrow();
        expect(() => handle?.connection).toThrow(TopologyMisusedError);
      },
      (redis) => (handle = redis),
    );
  });

  it('says what is missing outside Jest', () => {
    const real = globalThis.beforeAll;
    try {
      Reflect.deleteProperty(globalThis, 'beforeAll');
      expect(() => {
        describeOn(standalone)('release', () => undefined);
      }).toThrow(/found no global describe, beforeAll/);
    } finally {
      globalThis.beforeAll = real;
    }
  });
});
