import { checkQueue, pidOf, type QueueEvent } from './check-queue.js';

const [a, b, c] = ['tokenA-host:1:abc', 'tokenB-host:2:abc', 'tokenC-host:3:abc|label'] as const;

/** What the checker of the chaos specs takes for queue-jumping, and what it does not. */
describe('the checker of a queue', () => {
  const key = 'k';
  const call = (...args: string[]): QueueEvent => ({ at: 0, what: 'call', args });
  const queued = (owner: string): QueueEvent => ({ at: 0, what: 'queued', key, owner });
  const left = (owner: string): QueueEvent => ({ at: 0, what: 'left', key, owner });
  const offered = (owner: string): QueueEvent => ({ at: 0, what: 'offered', key, owner });
  const granted = (owner: string): QueueEvent => ({ at: 0, what: 'granted', key, owner });
  const deaf = (pid: number): QueueEvent => ({ at: 0, what: 'deaf', pid });
  const hears = [1, 2, 3].map((pid): QueueEvent => ({ at: 0, what: 'hears', pid }));
  const gap: QueueEvent = { at: 0, what: 'gap' };
  const handedTo = (owner: string) => [call('release'), offered(owner), left(owner), granted(owner)];
  const check = (...history: QueueEvent[]) => checkQueue([...hears, ...history]);

  it('knows the process of an owner, with or without a label', () => {
    expect([a, b, c].map(pidOf)).toEqual([1, 2, 3]);
  });

  it('finds nothing when they come in turn', () => {
    expect(check(queued(a), queued(b), ...handedTo(a), ...handedTo(b))).toEqual([]);
  });

  it('finds a hand-over to the second in the queue', () => {
    expect(check(queued(a), queued(b), ...handedTo(b))).toEqual([`${b} got k before ${a}, which came first`]);
  });

  it('finds a newcomer that takes the lock although somebody waits', () => {
    expect(check(queued(a), call('acquire', b), granted(b))).toEqual([`${b} got k before ${a}, which came first`]);
  });

  it('lets a waiter be passed over that is known to be deaf, and only as long as it is', () => {
    expect(check(queued(a), queued(b), deaf(1), call('release'), offered(a), ...handedTo(b))).toEqual([]);
    const hearsAgain: QueueEvent = { at: 0, what: 'hears', pid: 1 };
    expect(check(queued(a), queued(b), deaf(1), hearsAgain, ...handedTo(b))).toHaveLength(1);
  });

  it('finds a waiter that somebody else dropped from the queue, but not one that left by itself', () => {
    expect(check(queued(a), call('release', c), left(a))).toEqual([
      `${a} was dropped from the queue of k, although it listens`,
    ]);
    expect(check(queued(a), call('give-up', a), left(a))).toEqual([]);
    expect(check(queued(a), queued(b), call('give-up', a), left(a), ...handedTo(b))).toEqual([]);
  });

  it('judges by what it has seen: places that were taken before a gap are unknown', () => {
    expect(check(queued(a), gap, queued(b), ...handedTo(b))).toEqual([]);
    expect(check(gap, queued(b), ...handedTo(a))).toEqual([]);
  });

  it('counts a place that is taken anew from then on', () => {
    expect(check(queued(a), queued(b), queued(a), ...handedTo(b))).toEqual([]);
  });
});
