import { AsyncLocalStorage } from 'node:async_hooks';
import { jest } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import {
  afterCommit,
  Cacheable,
  CacheEvict,
  CachePut,
  CacheService,
  CacheTransactionError,
  commitScope,
  provideNoopCache,
} from '../src/index.js';
import { gate, startCache } from './app.js';

/** What a transaction that has one sees, whatever others commit. */
const snapshot = new AsyncLocalStorage<number>();

/** A database of one value, as far as readers can see it: what is committed. */
@Injectable()
class Seats {
  committed = 9;
  reads = 0;
  runs = 0;
  pause: Promise<void> | undefined;

  @Cacheable({ key: 'seats' })
  async find(): Promise<number> {
    this.reads += 1;
    const seen = snapshot.getStore() ?? this.committed;
    await this.pause;
    return seen;
  }

  @Cacheable({ key: 'other' })
  async other(): Promise<number> {
    this.reads += 1;
    return Promise.resolve(this.reads);
  }

  @CacheEvict({ key: 'seats', after: 'commit' })
  async change(): Promise<void> {
    this.runs += 1;
    return Promise.resolve();
  }

  @CacheEvict({ key: 'seats', after: 'commit' })
  async changeAndFail(): Promise<void> {
    this.committed = 8;
    return Promise.reject(new Error('no mail'));
  }

  @CachePut({ key: 'seats', after: 'commit' })
  async putAndFail(): Promise<number> {
    this.committed = 8;
    return Promise.reject(new Error('no mail'));
  }

  @CachePut({ key: 'seats', after: 'commit' })
  async put(seats: number): Promise<number> {
    this.runs += 1;
    return Promise.resolve(seats);
  }
}

describeOn(standalone)('changes of the cache after the commit of a transaction', (redis) => {
  const start = async () => {
    const app = await startCache(redis.connection, {}, { providers: [Seats] });
    return { app, seats: app.context.get(Seats), [Symbol.asyncDispose]: () => app[Symbol.asyncDispose]() };
  };

  it('evicts when the transaction has been committed, and not before', async () => {
    await using started = await start();
    const { app, seats } = started;
    await seats.find();
    const commit = gate();
    const changed = gate();
    const transaction = commitScope(async () => {
      await seats.change();
      changed.open();
      await commit.opened;
      seats.committed = 8;
      return 'done';
    });
    await changed.opened;
    expect(await app.cache.get('seats')).toBe(9);
    commit.open();
    expect(await transaction).toBe('done');
    expect(await app.cache.has('seats')).toBe(false);
    expect(await seats.find()).toBe(8);
  });

  it('never evicts after a rollback', async () => {
    await using started = await start();
    const { app, seats } = started;
    await seats.find();
    const rolledBack = commitScope(async () => {
      await seats.change();
      throw new Error('rolled back');
    });
    await expect(rolledBack).rejects.toThrow('rolled back');
    expect(await app.cache.get('seats')).toBe(9);
  });

  it.each(['changeAndFail', 'putAndFail'] as const)(
    'evicts after %s as well, since what it had written is committed',
    async (method) => {
      await using started = await start();
      const { app, seats } = started;
      await seats.find();
      const rolledBack = commitScope<unknown>(() => seats[method]());
      await expect(rolledBack).rejects.toThrow('no mail');
      expect(await app.cache.get('seats')).toBe(9);
      await commitScope(async () => {
        await expect(seats[method]()).rejects.toThrow('no mail');
        expect(await app.cache.get('seats')).toBe(9);
      });
      expect(await seats.find()).toBe(8);
    },
  );

  it('stores what a put has returned after the commit only', async () => {
    await using started = await start();
    const { app, seats } = started;
    const rolledBack = commitScope(async () => {
      await seats.put(1);
      throw new Error('rolled back');
    });
    await expect(rolledBack).rejects.toThrow('rolled back');
    expect(await app.cache.has('seats')).toBe(false);
    await commitScope(async () => {
      await seats.put(2);
      expect(await app.cache.has('seats')).toBe(false);
    });
    expect(await app.cache.get('seats')).toBe(2);
  });

  it('takes an inner scope for a savepoint, or for a transaction of its own', async () => {
    await using started = await start();
    const { app, seats } = started;
    const kept = () => app.cache.get('seats');
    await seats.find();
    await commitScope(async () => {
      await commitScope(() => seats.change());
      expect(await kept()).toBe(9);
    });
    expect(await kept()).toBeUndefined();

    await seats.find();
    await commitScope(async () => {
      const inner = commitScope(async () => {
        await seats.change();
        throw new Error('back to the savepoint');
      });
      await expect(inner).rejects.toThrow('savepoint');
    });
    expect(await kept()).toBe(9);

    const outer = commitScope(async () => {
      await commitScope(() => seats.change(), { independent: true });
      expect(await kept()).toBeUndefined();
      throw new Error('rolled back');
    });
    await expect(outer).rejects.toThrow('rolled back');
  });

  it('waits for the transaction with what a savepoint has left behind, and reads past the cache meanwhile', async () => {
    await using started = await start();
    const { app, seats } = started;
    await seats.find();
    await commitScope(async () => {
      const over = gate();
      let left: Promise<void> | undefined;
      const savepoint = commitScope(async () => {
        await commitScope(() => {
          left = over.opened.then(async () => {
            await seats.change();
            seats.committed = 8;
            expect(await seats.find()).toBe(8);
          });
          return Promise.resolve();
        });
        throw new Error('back to the savepoint');
      });
      await expect(savepoint).rejects.toThrow('savepoint');
      over.open();
      await left;
      expect(await seats.find()).toBe(8);
      expect(await app.cache.get('seats')).toBe(9);
    });
    expect(await app.cache.has('seats')).toBe(false);
  });

  it('does not run a method outside of a transaction, since nobody would evict after the commit', async () => {
    await using started = await start();
    const { seats } = started;
    await expect(seats.change()).rejects.toThrow(CacheTransactionError);
    await expect(seats.put(1)).rejects.toThrow(/Seats\.put has @CachePut with after: 'commit'/);
    expect(seats.runs).toBe(0);
  });

  it('reads past the cache what a transaction has changed, and stores nothing of it', async () => {
    await using started = await start();
    const { app, seats } = started;
    await seats.find();
    const rolledBack = commitScope(async () => {
      expect(await seats.find()).toBe(9); // From the cache: nothing has changed yet.
      expect(seats.reads).toBe(1);
      await seats.change();
      seats.committed = 1; // Only this transaction sees that.
      expect(await seats.find()).toBe(1);
      await seats.other();
      seats.committed = 9;
      throw new Error('rolled back');
    });
    await expect(rolledBack).rejects.toThrow('rolled back');
    expect(await seats.find()).toBe(9);
    expect(await app.cache.has('other')).toBe(false);
  });

  it('keeps to itself what a transaction reads, which may be older than what others have committed and evicted', async () => {
    await using started = await start();
    await using elsewhere = await startCache(redis.connection);
    const { app, seats } = started;
    await commitScope(() =>
      snapshot.run(9, async () => {
        seats.committed = 8; // By another transaction, which has evicted it as well.
        await elsewhere.cache.delete('seats');
        expect(await seats.find()).toBe(9);
      }),
    );
    expect(await app.cache.has('seats')).toBe(false);
    expect(await seats.find()).toBe(8);
    // What is cached has been committed, and is served; a savepoint that is over is still in its transaction.
    await commitScope(async () => {
      let left: Promise<number> | undefined;
      const over = gate();
      await commitScope(async () => {
        left = over.opened.then(() => seats.other());
        return Promise.resolve();
      });
      over.open();
      await left;
      expect(await seats.find()).toBe(8);
    });
    expect([seats.reads, await app.cache.has('other')]).toEqual([3, false]);
  });

  it('serves a cached null in a transaction, and shares nothing with callers outside of it', async () => {
    await using started = await start();
    const { app, seats } = started;
    await app.cache.set('seats', null);
    expect(await commitScope(() => seats.find())).toBeNull();
    await app.cache.delete('seats');
    const reading = gate();
    seats.pause = reading.opened;
    const inside = snapshot.run(9, () => commitScope(() => seats.find()));
    await eventually(() => seats.reads === 1);
    seats.committed = 8;
    const outside = seats.find();
    await eventually(() => seats.reads === 2);
    reading.open();
    expect(await Promise.all([inside, outside])).toEqual([9, 8]);
  });

  it('makes at once what comes after the end, and reads through the cache again', async () => {
    await using started = await start();
    const { app, seats } = started;
    const late = gate();
    let leftBehind: Promise<void> = Promise.resolve();
    await commitScope(async () => {
      await seats.change();
      leftBehind = late.opened.then(async () => {
        await seats.find();
        expect(await app.cache.get('seats')).toBe(9);
        await seats.change();
        expect(await app.cache.has('seats')).toBe(false);
      });
    });
    late.open();
    await leftBehind;
  });

  it('does what is asked for by hand, at once or after the commit', async () => {
    const done: string[] = [];
    const note = (text: string) => () => Promise.resolve(done.push(text));
    await afterCommit(note('outside'));
    await commitScope(async () => {
      await afterCommit(note('first'));
      await afterCommit(() => Promise.reject(new Error('a mistake')));
      await afterCommit(note('last'));
      done.push('committing');
      return Promise.resolve();
    }).catch((error: unknown) => done.push(String(error)));
    expect(done).toEqual(['outside', 'committing', 'first', 'last', 'Error: a mistake']);
  });

  it('refuses what is wrong before the transaction begins, or while it can be rolled back', async () => {
    const work = jest.fn(() => Promise.resolve());
    await expect(commitScope(5 as never)).rejects.toThrow(/commitScope\(transaction\): got 5/);
    await expect(commitScope(work, { indepndent: true } as object)).rejects.toThrow(/indepndent: is not an option/);
    await expect(commitScope(work, { independent: 1 as never })).rejects.toThrow(/commitScope\.independent: got 1/);
    expect(work).not.toHaveBeenCalled();
    await expect(
      commitScope(async () => {
        await expect(afterCommit(5 as never)).rejects.toThrow(/afterCommit\(change\): got 5/);
        return 'committed';
      }),
    ).resolves.toBe('committed');
  });

  it('asks for no transaction in unit tests without Redis', async () => {
    const module = await Test.createTestingModule({ providers: [Seats, ...provideNoopCache()] }).compile();
    await module.get(Seats).change();
    expect(module.get(Seats).runs).toBe(1);
    expect(module.get(CacheService)).toBeDefined();
  });
});
