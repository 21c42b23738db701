import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { defer, firstValueFrom, lastValueFrom, Observable, Subject, toArray } from 'rxjs';
import { CronLock, currentLock, onLockEvent, WithLock, type LockEvent } from '../src/index.js';
import { failureOf, startHost, type Host } from './support.js';

const key = 'shop:lock:{feed:a}';

@Injectable()
class Feeds {
  /** What the next subscriber gets. */
  source = new Subject<string>();
  /** The tokens of the locks that sources were subscribed to under. */
  readonly under: (string | undefined)[] = [];

  @WithLock((name: string) => ['feed', name])
  watch(_name: string): Observable<string> {
    return this.observed();
  }

  @WithLock((name: string) => ['feed', name], { ttl: '2400ms' })
  brief(_name: string): Observable<string> {
    return this.observed();
  }

  @WithLock((name: string) => ['feed', name], { onLocked: 'skip' })
  skip(_name: string): Observable<string> {
    return this.observed();
  }

  @WithLock((name: string) => ['feed', name], { onLocked: 'throw' })
  refuse(_name: string): Observable<string> {
    return this.observed();
  }

  @WithLock((name: string) => ['feed', name], { reentrant: true })
  nested(name: string): Observable<string> {
    return this.inner(name);
  }

  @WithLock((name: string) => ['feed', name], { reentrant: true, waitTimeout: 0 })
  inner(_name: string): Observable<string> {
    return this.observed();
  }

  @CronLock('feed:a', { atLeast: 0, atMost: '2s' })
  tick(): Observable<string> {
    return this.observed();
  }

  private observed(): Observable<string> {
    return defer(() => {
      this.under.push(currentLock()?.token);
      return this.source;
    });
  }
}

/** What a subscriber has been told so far. */
function subscribe(observable: Observable<string>) {
  const told: unknown[] = [];
  const subscription = observable.subscribe({
    next: (value) => told.push(value),
    error: (error: unknown) => told.push(error),
    complete: () => told.push('complete'),
  });
  return {
    told,
    unsubscribe: () => {
      subscription.unsubscribe();
    },
  };
}

describeOn(
  standalone,
  sentinel,
  cluster,
)('a method under @WithLock that returns an Observable', (redis) => {
  let host: Host;
  let other: Host;
  let feeds: Feeds;
  beforeAll(async () => {
    host = await startHost(redis.connection, {}, [Feeds]);
    other = await startHost(redis.connection);
    feeds = host.app.get(Feeds);
  });
  afterAll(() => Promise.all([host.app.close(), other.app.close()]));
  beforeEach(() => {
    feeds.source = new Subject();
    feeds.under.length = 0;
  });
  const holder = () => redis.client().get(key);
  const begun = (count = 1) =>
    eventually(() => {
      expect(feeds.under).toHaveLength(count);
    });
  const waiting = (count: number) =>
    eventually(async () => {
      expect((await other.locks.inspect('feed:a'))?.waiting ?? 0).toBe(count);
    });

  it('holds the lock from the subscription to the completion, and tells the end after the release', async () => {
    const { source } = feeds;
    const watched = feeds.watch('a');
    expect(feeds.under).toEqual([]);
    expect(await holder()).toBeNull();
    const { told } = subscribe(watched);
    await begun();
    const owner = await holder();
    expect(owner).toMatch(new RegExp(`^${feeds.under[0]}`));
    source.next('first');
    expect(told).toEqual(['first']);
    expect(await other.locks.tryAcquire('feed:a')).toBeNull();
    expect(await holder()).toBe(owner);
    source.next('last');
    source.complete();
    await eventually(() => told.includes('complete'));
    expect(told).toEqual(['first', 'last', 'complete']);
    expect(await redis.client().exists(key)).toBe(0);
  });

  it('releases when the source fails, and tells why after that', async () => {
    const { source } = feeds;
    const { told } = subscribe(feeds.watch('a'));
    await begun();
    const failure = new RangeError('from the source');
    source.error(failure);
    await eventually(() => told.length > 0);
    expect(told).toEqual([failure]);
    expect(await redis.client().exists(key)).toBe(0);
  });

  it('releases when the subscriber leaves, and cancels the source', async () => {
    const { told, unsubscribe } = subscribe(feeds.watch('a'));
    await begun();
    expect(await holder()).not.toBeNull();
    unsubscribe();
    expect(feeds.source.observed).toBe(false);
    await eventually(async () => {
      expect(await redis.client().exists(key)).toBe(0);
    });
    expect(told).toEqual([]);
  });

  it('leaves the queue when the subscriber leaves before it has the lock, and never runs', async () => {
    const failures: LockEvent[] = [];
    const stop = onLockEvent((event) => event.event === 'failed' && failures.push(event));
    await using _held = await other.locks.acquire('feed:a');
    const { told, unsubscribe } = subscribe(feeds.watch('a'));
    await waiting(1);
    unsubscribe();
    await waiting(0);
    stop();
    expect(failures).toEqual([expect.objectContaining({ event: 'failed', reason: 'aborted' })]);
    expect(await other.locks.isLocked('feed:a')).toBe(true);
    expect([feeds.under, told]).toEqual([[], []]);
  });

  it('takes the lock anew for each subscriber: one after the other, under a token of its own', async () => {
    const watched = feeds.watch('a');
    const one = feeds.source;
    const first = subscribe(watched);
    await begun();
    const two = (feeds.source = new Subject());
    const second = subscribe(watched);
    await waiting(1);
    expect(feeds.under).toHaveLength(1);
    one.complete();
    await begun(2);
    await eventually(() => first.told.includes('complete'));
    two.next('mine');
    two.complete();
    await eventually(() => second.told.includes('complete'));
    expect([first.told, second.told]).toEqual([['complete'], ['mine', 'complete']]);
    expect(feeds.under[0]).not.toBe(feeds.under[1]);
  });

  it('ends with LockLostError as soon as the lock is known to be lost, and the source with it', async () => {
    const { told } = subscribe(feeds.brief('a'));
    await begun();
    await other.locks.forceRelease('feed:a'); // What the next renewal finds out.
    await using stranger = await other.locks.acquire('feed:a');
    await eventually(() => told.length > 0);
    expect(told).toEqual([expect.objectContaining({ code: 'LOCK_LOST', key })]);
    expect(feeds.source.observed).toBe(false);
    expect(await holder()).toMatch(new RegExp(`^${stranger.token}`));
  });

  it('ends with LockLostError instead of its completion when only the release finds out', async () => {
    const { source } = feeds;
    const { told } = subscribe(feeds.watch('a'));
    await begun();
    await redis.client().del(key);
    source.next('too late');
    source.complete();
    await eventually(() => told.length > 1);
    expect(told).toEqual(['too late', expect.objectContaining({ code: 'LOCK_LOST', key })]);
  });

  it('completes without a value where it is skipped, and fails where it is refused', async () => {
    await using _held = await other.locks.acquire('feed:a');
    expect(await lastValueFrom(feeds.skip('a').pipe(toArray()))).toEqual([]);
    expect(await failureOf(firstValueFrom(feeds.refuse('a')))).toMatchObject({ code: 'LOCK_NOT_ACQUIRED' });
    expect(feeds.under).toEqual([]);
  });

  it('runs under the lock around it with `reentrant`', async () => {
    const { told } = subscribe(feeds.nested('a'));
    await begun();
    expect(await holder()).toMatch(new RegExp(`^${feeds.under[0]}`));
    feeds.source.next('only');
    feeds.source.complete();
    await eventually(() => told.includes('complete'));
    expect(told).toEqual(['only', 'complete']);
    expect(await redis.client().exists(key)).toBe(0);
  });

  it('ends under @CronLock when its time is over', async () => {
    const { told } = subscribe(feeds.tick());
    await eventually(() => told.length > 0);
    expect(told).toEqual([expect.objectContaining({ code: 'LOCK_LOST', key })]);
    expect(feeds.source.observed).toBe(false);
    await eventually(async () => {
      expect(await redis.client().exists(key)).toBe(0);
    });
  });
});
