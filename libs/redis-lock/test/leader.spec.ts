import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { InvalidKeyError, OptionsError, type RedisClient } from '@redstart/redis-core';
import type { Leadership, LeaderOptions, LockService } from '../src/index.js';
import { deferred, startHost, type Host } from './support.js';

const key = 'shop:lock:{scheduler}';

/** What happens to the candidates of a test, in the order in which it happens. */
class Chronicle {
  readonly events: string[] = [];
  readonly fences: number[] = [];
  /** Who leads, as far as the callbacks tell. */
  readonly leaders = new Set<string>();
  /** How many led at the same time, at most. */
  most = 0;

  stand(name: string, locks: LockService, options: Partial<LeaderOptions> = {}): Leadership {
    return locks.leader('scheduler', {
      onElected: (lock) => {
        this.events.push(`${name} elected`);
        this.fences.push(lock.fencingToken);
        this.leaders.add(name);
        this.most = Math.max(this.most, this.leaders.size);
        return options.onElected?.(lock);
      },
      onRevoked: (reason) => {
        this.events.push(`${name} revoked: ${reason}`);
        this.leaders.delete(name);
        return options.onRevoked?.(reason);
      },
      ...(options.ttl === undefined ? {} : { ttl: options.ttl }),
      ...(options.label === undefined ? {} : { label: options.label }),
    });
  }

  async tells(...events: string[]): Promise<void> {
    await eventually(() => {
      expect(this.events).toEqual(events);
    });
  }
}

describeOn(
  standalone,
  sentinel,
  cluster,
)('a leader', (redis) => {
  /** Long enough for what comes by timers to be told from what comes by push. */
  const patient = { queueLease: '60s', ttl: '60s' } as const;
  const start = () => startHost(redis.connection, patient);
  let one: Host;
  let other: Host;
  let chronicle: Chronicle;
  let client: RedisClient;
  /** Of a Cluster: Pub/Sub of a slot is known to its node alone. */
  let nodes: RedisClient[];
  beforeAll(async () => {
    client = redis.client();
    nodes = redis.topology === 'cluster' ? redis.cluster.servers.map((server) => server.client()) : [];
    one = await start();
    other = await start();
  });
  afterAll(async () => {
    await one.app.close();
    await other.app.close();
  });
  beforeEach(() => {
    chronicle = new Chronicle();
  });
  const waiting = async (count: number) => {
    await eventually(async () => {
      expect((await other.locks.inspect('scheduler'))?.waiting ?? 0).toBe(count);
    });
  };
  /** So many are in the queue, and each of their processes can hear of a hand-over. */
  const settled = async (count: number) => {
    await waiting(count);
    await eventually(async () => {
      for (const owner of await client.lrange(`${key}:queue`, 0, -1)) {
        const [mailbox = ''] = owner.slice(22).split('|');
        expect(await listeners(mailbox)).toBe(1);
      }
    });
  };
  const listeners = async (mailbox: string) => {
    if (redis.topology !== 'cluster') return Number((await client.pubsub('NUMSUB', `shop:lock:wake:${mailbox}`))[1]);
    const channel = `${key}:wake:${mailbox}`;
    const replies = await Promise.all(nodes.map((node) => node.pubsub('SHARDNUMSUB', channel)));
    return replies.reduce((sum, reply) => sum + Number(reply[1]), 0);
  };

  it('is one of all, and hands over as soon as it stops: the next is elected after the revocation', async () => {
    const a = chronicle.stand('a', one.locks);
    await chronicle.tells('a elected');
    const b = chronicle.stand('b', other.locks);
    await settled(1);
    expect([a.isLeader, b.isLeader]).toEqual([true, false]);
    expect([a.lock?.fencingToken, b.lock]).toEqual([chronicle.fences[0], undefined]);
    expect([a.key, b.key]).toEqual([key, key]);

    const stoppedAt = performance.now();
    await a.stop();
    await chronicle.tells('a elected', 'a revoked: stopped', 'b elected');
    expect(performance.now() - stoppedAt).toBeLessThan(10_000); // By a timer it would have been 20 s.
    expect([a.isLeader, b.isLeader]).toEqual([false, true]);
    expect(chronicle.fences[1]).toBeGreaterThan(chronicle.fences[0] ?? Infinity);
    await a.stop();
    await b.stop();
    expect(chronicle.events.slice(3)).toEqual(['b revoked: stopped']);
    expect(chronicle.most).toBe(1);
    for (const left of [key, `${key}:queue`, `${key}:waiters`]) expect(await client.exists(left)).toBe(0);
  });

  it('is followed by whoever has waited longest', async () => {
    await using third = await start();
    const a = chronicle.stand('a', one.locks);
    await chronicle.tells('a elected');
    const candidates = [a];
    for (const [name, host] of Object.entries({ b: other, c: third, d: one })) {
      candidates.push(chronicle.stand(name, host.locks));
      await settled(candidates.length - 1);
    }
    for (const candidate of candidates) {
      await eventually(() => candidate.isLeader);
      await candidate.stop();
    }
    expect(chronicle.events.filter((event) => event.endsWith('elected'))).toEqual([
      'a elected',
      'b elected',
      'c elected',
      'd elected',
    ]);
    expect(chronicle.most).toBe(1);
  });

  it('steps down when its application ends, and a candidate leaves the queue', async () => {
    const ending = await start();
    chronicle.stand('a', ending.locks);
    await chronicle.tells('a elected');
    const leaving = await start();
    chronicle.stand('b', leaving.locks);
    await settled(1);
    await using c = chronicle.stand('c', other.locks);
    await settled(2);
    await leaving.app.close();
    await waiting(1);
    const endsAt = performance.now();
    await ending.locks.onModuleDestroy(); // The first hook of a shutdown: its requests may still take long to end.
    await chronicle.tells('a elected', 'a revoked: shutdown', 'c elected');
    expect(performance.now() - endsAt).toBeLessThan(10_000);
    expect(c.isLeader).toBe(true);
    await ending.app.close();
    expect(chronicle.events).toHaveLength(3);
    expect(chronicle.most).toBe(1);
  });

  it('is not elected in an application that is ending', async () => {
    const ending = await start();
    await ending.locks.onModuleDestroy();
    const late = chronicle.stand('late', ending.locks);
    for (let turn = 0; turn < 3; turn++) await ending.locks.inspect('scheduler'); // Behind its question.
    expect(chronicle.events).toEqual([]);
    await late.stop();
    await ending.app.close();
    expect(chronicle.events).toEqual([]);
    expect(await client.exists(key)).toBe(0);
  });

  it('that was deposed by an operator is revoked with its next renewal, and stands again', async () => {
    await using a = chronicle.stand('a', one.locks, { ttl: 2_400 });
    await chronicle.tells('a elected');
    await using b = chronicle.stand('b', other.locks, { ttl: 2_400 });
    await settled(1);
    expect(await other.locks.forceRelease('scheduler')).toBe(true);
    await eventually(() => {
      expect(chronicle.events).toHaveLength(3);
    });
    // Which of the two comes first is up to the operator: see forceRelease.
    expect(chronicle.events.slice(1).sort()).toEqual(['a revoked: taken', 'b elected']);
    await waiting(1);
    expect([a.isLeader, b.isLeader]).toEqual([false, true]);
  });

  it('and another one are never there for long after Redis has lost its data', async () => {
    await using a = chronicle.stand('a', one.locks, { ttl: 2_400 });
    await chronicle.tells('a elected');
    await using b = chronicle.stand('b', other.locks, { ttl: 2_400 });
    await settled(1);
    const [before = Infinity] = chronicle.fences;
    await redis.flush();
    await eventually(() => {
      expect(chronicle.events).toContain('a revoked: taken');
      expect(chronicle.leaders.size).toBe(1);
      expect([a.isLeader, b.isLeader].filter(Boolean)).toHaveLength(1);
    });
    expect(chronicle.fences.length).toBeGreaterThan(1);
    expect(Math.min(...chronicle.fences.slice(1))).toBeGreaterThan(before);
  });

  it('works under its lock, is inspected by its label, and can resign', async () => {
    const resigns = deferred();
    await using a = chronicle.stand('a', one.locks, {
      label: 'candidate a',
      onElected: async (lock) => {
        lock.assertHeld();
        expect(lock.keys).toEqual([key]);
        await resigns.promise;
        expect(await lock.release()).toBe(true);
        expect(lock.signal.aborted).toBe(true);
      },
    });
    await chronicle.tells('a elected');
    expect(await other.locks.inspect('scheduler')).toMatchObject({ holder: { label: 'candidate a' } });
    await using b = chronicle.stand('b', other.locks);
    await settled(1);
    resigns.resolve();
    await chronicle.tells('a elected', 'a revoked: resigned', 'b elected');
    expect([a.isLeader, b.isLeader]).toEqual([false, true]);
    await waiting(1); // After its pause, a stands again.
    expect(chronicle.most).toBe(1);
  });

  it('is refused what can not be right', () => {
    const onElected = () => undefined;
    expect(() => one.locks.leader('', { onElected })).toThrow(InvalidKeyError);
    expect(() => one.locks.leader('x', {} as LeaderOptions)).toThrow(/leader\(options\)\.onElected/);
    expect(() => one.locks.leader('x', { onElected, onRevoked: 5 } as unknown as LeaderOptions)).toThrow(/onRevoked/);
    expect(() => one.locks.leader('x', { onElected, ttl: 5 })).toThrow(OptionsError);
    expect(() => one.locks.leader('x', { onElected, waitTimeout: 5 } as LeaderOptions)).toThrow(/waitTimeout/);
  });
});
