import { eventually } from '@redstart/redis-testing';
import { namesOf } from './arena/crew.js';
import { oneServer } from './arena/sites.js';
import { describeChaos } from './arena/suite.js';
import { machineNow } from './checker/log-entry.js';
import { lockOptions, slackMs, sturdy, ttlMs } from './terms.js';

/** A renewal may hang for longer than the lease: that the lock is lost is not told by its failure. */
const patientServer = () => oneServer({ ...lockOptions, commandTimeout: ttlMs * 3 });

/** What happens to the server: four processes compete for one lock on it. */
describeChaos('server', patientServer, (chaos) => {
  /** How often the server has answered with this error. */
  const errors = (prefix: string) =>
    chaos.site.server.ask(async (redis) =>
      Number(new RegExp(`^errorstat_${prefix}:count=(\\d+)`, 'm').exec(await redis.info('errorstats'))?.[1] ?? 0),
    );

  chaos.fault('SIGSTOP of Redis beyond the ttl', { times: 2 }, async (contest) => {
    const { holder } = await contest.standstill();
    const pausedAt = machineNow();
    chaos.site.server.pause();
    try {
      // Told by its own clock, while every renewal hangs.
      const { reason, lookedAt } = await contest.loss(holder, pausedAt);
      expect(reason).toBe('deadline');
      expect(lookedAt - pausedAt).toBeLessThan(ttlMs + slackMs);
      await contest.passes(ttlMs / 2);
    } finally {
      chaos.site.server.resume();
    }
    return 1;
  });

  chaos.fault('Redis restarted empty', { times: 2 }, async (contest) => {
    const { holder } = await contest.standstill();
    const restartedAt = machineNow();
    await contest.nobodyListens();
    await contest.forgets('forgot', () => chaos.site.server.restart());
    await chaos.arena.watch(contest.terms.key);
    await contest.loss(holder, restartedAt);
    return 1;
  });

  // So long a lease that the one who sleeps does so for a part of it only, however long the newcomer takes.
  const sleepers = { ttlMs: 6_000 };
  chaos.fault('FLUSHALL', { times: 2, terms: sleepers }, async (contest) => {
    const { holder, waiters } = await contest.standstill();
    const [newcomer, ...others] = waiters;
    for (const waiter of waiters) await waiter.do({ order: 'rest' });
    await contest.lineWithout(waiters);
    const flushedAt = machineNow();
    // The newcomer finds the lock free and takes it, before the one who held it can know: that one sleeps until then.
    await chaos.arena.freeze(holder);
    await contest.forgets('forgot', () => chaos.site.server.flush());
    await newcomer.do({ order: 'compete', terms: contest.terms, dwells: true });
    expect((await contest.nextToEnter(flushedAt)).worker.name).toBe(newcomer.name);
    await chaos.arena.thaw(holder);
    // By its next renewal, well before the lease could have told; and that renews nothing which is another one's by now.
    const { reason, lookedAt } = await contest.loss(holder, flushedAt);
    expect(reason).toBe('taken');
    expect(lookedAt - flushedAt).toBeLessThan(sleepers.ttlMs);
    for (const other of others) await other.do({ order: 'compete', terms: contest.terms, dwells: true });
    expect((await contest.standstill()).holder.name).toBe(newcomer.name);
    return 1;
  });

  chaos.fault('SCRIPT FLUSH', { times: 3 }, async (contest) => {
    const before = await errors('NOSCRIPT');
    await chaos.site.server.ask((redis) => redis.script('FLUSH'));
    await contest.everyoneEnters();
    return (await errors('NOSCRIPT')) - before;
  });

  // So long a lease that a release is told from a lock that lapses.
  chaos.fault('OOM under noeviction', { times: 1, terms: sturdy }, async (contest) => {
    const { holder, waiters } = await contest.standstill();
    const before = await errors('OOM');
    const configure = (maxmemory: string) =>
      chaos.site.server.ask((redis) => redis.config('SET', 'maxmemory', maxmemory, 'maxmemory-policy', 'noeviction'));
    await configure('1');
    try {
      // A full server takes no new locks. Those that are held are renewed, released and handed over.
      await contest.passes(contest.terms.ttlMs * 1.2);
      expect((await contest.inside())?.name).toBe(holder.name);
      const leftAt = machineNow();
      await contest.goOn();
      const { worker, afterMs } = await contest.nextToEnter(leftAt);
      expect(worker.name).toBe(waiters[0].name);
      expect(afterMs).toBeLessThan(slackMs);
      await contest.everyoneEnters(leftAt, waiters);
      await eventually(async () => (await errors('OOM')) > before);
    } finally {
      await configure('0');
    }
    return (await errors('OOM')) - before;
  });

  chaos.fault('READONLY', { times: 1, terms: sturdy }, async (contest) => {
    const { holder } = await contest.standstill();
    const before = await errors('READONLY');
    // A replica of nobody keeps what it has, and refuses to change it.
    await chaos.site.server.ask((redis) => redis.replicaof('127.0.0.1', 1));
    await eventually(async () => (await errors('READONLY')) > before);
    await chaos.site.server.ask((redis) => redis.replicaof('NO', 'ONE'));
    await contest.passes(sturdy.ttlMs * 1.2);
    expect((await contest.inside())?.name).toBe(holder.name);
    const refusingSince = machineNow();
    await chaos.site.server.ask((redis) => redis.replicaof('127.0.0.1', 1));
    try {
      expect((await contest.loss(holder, refusingSince)).reason).toBe('deadline');
    } finally {
      await chaos.site.server.ask((redis) => redis.replicaof('NO', 'ONE'));
    }
    return (await errors('READONLY')) - before;
  });

  // The last one, since it changes how the server keeps its data. A start may take more than a second.
  const overARestart = { ttlMs: 4_000 };
  chaos.fault('Redis restarted with AOF', { times: 2, terms: overARestart }, async (contest) => {
    await chaos.site.server.ask((redis) => redis.config('SET', 'appendonly', 'yes', 'appendfsync', 'always'));
    await eventually(async () => {
      expect(await chaos.site.server.ask((redis) => redis.info('persistence'))).toMatch(/aof_rewrite_in_progress:0/);
    });
    const { holder, waiters } = await contest.standstill();
    await contest.nobodyListens();
    await chaos.site.server.restart({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    await chaos.arena.watch(contest.terms.key);
    // The lock, and every place in its queue, has survived.
    await contest.passes(overARestart.ttlMs * 1.2);
    const after = await contest.standstill();
    expect(after.holder.name).toBe(holder.name);
    expect(namesOf(after.waiters)).toEqual(namesOf(waiters));
    return 1;
  });
});
