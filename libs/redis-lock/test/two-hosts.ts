import { eventually, type TopologyUnderTest } from '@redstart/redis-testing';
import type { LockService, ReadWriteLock } from '../src/index.js';
import { startHost, type Host } from './support.js';

export interface TwoHosts {
  readonly here: () => LockService;
  readonly there: () => LockService;
}

/** Two applications for all tests of a suite. Call it where the suite is declared. */
export function twoHosts(redis: TopologyUnderTest): TwoHosts {
  let hosts: [Host, Host];
  beforeAll(async () => {
    // Signs of life are 10 s apart, so whatever happens before that was not found by one.
    const patient = { queueLease: '30s' } as const;
    hosts = [await startHost(redis.connection, patient), await startHost(redis.connection, patient)];
  });
  afterAll(async () => {
    for (const { app } of hosts) await app.close();
  });
  return { here: () => hosts[0].locks, there: () => hosts[1].locks };
}

export interface TwoReadWriteLocks {
  readonly here: () => ReadWriteLock;
  readonly there: () => ReadWriteLock;
  /** Until so many wait, on both hosts together. */
  readonly waiting: (writers: number, readers: number) => Promise<void>;
  /** Both processes listen then, as after the first contention. */
  readonly warmUp: () => Promise<void>;
}

/** The read/write lock `prices`, as two hosts have it. */
export function pricesOf(hosts: TwoHosts): TwoReadWriteLocks {
  const here = () => hosts.here().readWrite('prices');
  const there = () => hosts.there().readWrite('prices');
  const waiting = async (writers: number, readers: number) => {
    await eventually(async () => {
      expect(await here().inspect()).toMatchObject({ waitingWriters: writers, waitingReaders: readers });
    });
  };
  const warmUp = async () => {
    const held = await here().write();
    const next = [here(), there()].map(async (lock) => (await lock.write()).release());
    await waiting(2, 0);
    await held.release();
    await Promise.all(next);
  };
  return { here, there, waiting, warmUp };
}
