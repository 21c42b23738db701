import { jest } from '@jest/globals';
import { LeaseRenewer, type RenewalGroup } from '../src/lease/lease-renewer.js';
import { OptionsError } from '../src/redis.errors.js';
import { ManualClock } from '../src/time/manual-clock.js';
import { systemClock } from '../src/time/clock.js';

interface TestLease {
  readonly key: string;
}
const lease = (name: string): TestLease => ({ key: `shop:lock:{${name}}` });
/** Leases of one slot, to see them leave together. */
const sibling = (name: string): TestLease => ({ key: `shop:lock:{order}:${name}` });

/** A group that notes its calls; each call ends when the test says so, or at once. */
class RecordingGroup implements RenewalGroup<TestLease> {
  readonly calls: { at: number; keys: string[] }[] = [];
  readonly errors: unknown[] = [];
  answer: () => Promise<void> = () => Promise.resolve();

  constructor(private readonly clock: ManualClock) {}

  renew(leases: readonly TestLease[]): Promise<void> {
    this.calls.push({ at: this.clock.now(), keys: leases.map(({ key }) => key) });
    return this.answer();
  }

  onError(error: unknown): void {
    this.errors.push(error);
  }
}

function setUp() {
  const clock = new ManualClock();
  return { clock, renewer: new LeaseRenewer(clock), group: new RecordingGroup(clock) };
}

describe('a tracked lease', () => {
  it('is renewed every period until it is stopped', async () => {
    const { clock, renewer, group } = setUp();
    const renewal = renewer.track(group, lease('a'), 1_000);
    await clock.advanceAsync(999);
    expect(group.calls).toEqual([]);
    await clock.advanceAsync(2_001);
    expect(group.calls.map(({ at }) => at)).toEqual([1_000, 2_000, 3_000]);
    renewal.stop();
    await clock.advanceAsync(10_000);
    expect(group.calls).toHaveLength(3);
    expect(renewer.size).toBe(0);
  });

  it('can be stopped twice', () => {
    const { renewer, group } = setUp();
    const renewal = renewer.track(group, lease('a'), 1_000);
    renewer.track(group, lease('a'), 1_000);
    renewal.stop();
    renewal.stop();
    expect(renewer.size).toBe(1);
  });

  it.each([0, -1, NaN, Infinity])('refuses a period of %d', (everyMs) => {
    const { renewer, group } = setUp();
    expect(() => renewer.track(group, lease('a'), everyMs)).toThrow(OptionsError);
    expect(renewer.size).toBe(0);
  });

  it('may be stopped by the renewal itself, as when it is lost', async () => {
    const { clock, renewer, group } = setUp();
    const renewals = ['a', 'b'].map((name) => renewer.track(group, sibling(name), 1_000));
    group.answer = () => {
      renewals.forEach((renewal) => {
        renewal.stop();
      });
      return Promise.resolve();
    };
    await clock.advanceAsync(5_000);
    expect(group.calls).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  it('may be tracked by a renewal', async () => {
    const { clock, renewer, group } = setUp();
    renewer.track(group, lease('a'), 1_000);
    group.answer = () => {
      if (renewer.size === 1) renewer.track(group, lease('b'), 300);
      return Promise.resolve();
    };
    await clock.advanceAsync(1_300);
    expect(group.calls.at(-1)).toEqual({ at: 1_300, keys: [lease('b').key] });
  });
});

describe('leases that are due together', () => {
  it('of one group and slot leave in one call', async () => {
    const { clock, renewer, group } = setUp();
    const names = Array.from({ length: 500 }, (_, i) => `${i}`);
    for (const name of names) renewer.track(group, sibling(name), 1_000);
    await clock.advanceAsync(1_000);
    expect(group.calls).toEqual([{ at: 1_000, keys: names.map((name) => sibling(name).key) }]);
  });

  it('of different slots leave in a call each', async () => {
    const { clock, renewer, group } = setUp();
    for (const name of ['a', 'b', 'c']) renewer.track(group, lease(name), 1_000);
    await clock.advanceAsync(1_000);
    expect(group.calls.map(({ keys }) => keys)).toEqual([[lease('a').key], [lease('b').key], [lease('c').key]]);
  });

  it('of different groups leave in a call each', async () => {
    const { clock, renewer, group } = setUp();
    const other = new RecordingGroup(clock);
    renewer.track(group, sibling('a'), 1_000);
    renewer.track(other, sibling('b'), 1_000);
    await clock.advanceAsync(1_000);
    expect([group.calls.length, other.calls.length]).toEqual([1, 1]);
  });

  it('includes those due within 20 ms, and from then on they stay together', async () => {
    const { clock, renewer, group } = setUp();
    for (const name of ['a', 'b', 'c']) {
      renewer.track(group, sibling(name), 1_000);
      clock.advance(name === 'a' ? 20 : 1); // due at 1000, 1020, 1021
    }
    await clock.advanceAsync(2_500);
    expect(group.calls.map(({ at, keys }) => [at, keys.length])).toEqual([
      [1_000, 2],
      [1_021, 1],
      [2_000, 2],
      [2_021, 1],
    ]);
  });

  it('are pulled forward by a tenth of a short period at most', async () => {
    const { clock, renewer, group } = setUp();
    renewer.track(group, sibling('a'), 50);
    clock.advance(6);
    renewer.track(group, sibling('b'), 50);
    await clock.advanceAsync(50);
    expect(group.calls.map(({ at, keys }) => [at, keys.length])).toEqual([
      [50, 1],
      [56, 1],
    ]);
  });

  it('keep their own periods', async () => {
    const { clock, renewer, group } = setUp();
    renewer.track(group, lease('slow'), 1_000);
    renewer.track(group, lease('fast'), 300);
    await clock.advanceAsync(1_199);
    expect(group.calls.map(({ at, keys }) => [at, keys[0]])).toEqual([
      [300, lease('fast').key],
      [600, lease('fast').key],
      [900, lease('fast').key],
      [1_000, lease('slow').key],
    ]);
  });
});

describe('a renewal under way', () => {
  it('is not repeated until it has ended, while other leases go on', async () => {
    const { clock, renewer, group } = setUp();
    let end = () => {};
    group.answer = () =>
      new Promise((resolve) => {
        end = resolve;
      });
    renewer.track(group, sibling('stuck'), 1_000);
    await clock.advanceAsync(1_000);
    renewer.track(group, sibling('new'), 1_000);
    await clock.advanceAsync(3_000);
    expect(group.calls.map(({ at, keys }) => [at, keys[0]])).toEqual([
      [1_000, sibling('stuck').key],
      [2_000, sibling('new').key],
    ]);
    end();
    await clock.advanceAsync(1_000);
    expect(group.calls.at(-1)).toEqual({ at: 5_000, keys: [sibling('new').key] });
  });

  it('that fails is told, rejects nowhere, and is tried again in the next period', async () => {
    const { clock, renewer, group } = setUp();
    const unhandled = jest.fn();
    process.on('unhandledRejection', unhandled);
    group.answer = () => Promise.reject(new Error('connection lost'));
    renewer.track(group, lease('a'), 1_000);
    await clock.advanceAsync(2_000);
    group.answer = () => {
      throw new Error('thrown at once');
    };
    await clock.advanceAsync(1_000);
    expect(group.calls.map(({ at }) => at)).toEqual([1_000, 2_000, 3_000]);
    expect(group.errors.map(String)).toEqual([
      'Error: connection lost',
      'Error: connection lost',
      'Error: thrown at once',
    ]);
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });

  it('of a group without onError, or with one that throws, fails in silence', async () => {
    const { clock, renewer } = setUp();
    const unhandled = jest.fn();
    process.on('unhandledRejection', unhandled);
    const renew = jest.fn(() => Promise.reject(new Error('connection lost')));
    renewer.track({ renew }, lease('a'), 1_000);
    renewer.track(
      {
        renew,
        onError: () => {
          throw new Error('worse');
        },
      },
      lease('b'),
      1_000,
    );
    await clock.advanceAsync(2_000);
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
    expect(renew).toHaveBeenCalledTimes(4);
  });
});

describe('the timer', () => {
  it('is one for all leases, and none without', () => {
    const { clock, renewer, group } = setUp();
    expect(clock.pending).toBe(0);
    const renewals = [3_000, 1_000, 2_000, 1_000].map((everyMs) => renewer.track(group, lease('a'), everyMs));
    expect(clock.pending).toBe(1);
    renewals.forEach((renewal) => {
      renewal.stop();
    });
    expect(clock.pending).toBe(0);
  });

  it('moves forward for a lease that is due earlier', async () => {
    const { clock, renewer, group } = setUp();
    renewer.track(group, lease('slow'), 10_000);
    renewer.track(group, lease('fast'), 100);
    await clock.advanceAsync(100);
    expect(group.calls).toEqual([{ at: 100, keys: [lease('fast').key] }]);
  });

  it('is gone after stop(), and back with the next lease', async () => {
    const { clock, renewer, group } = setUp();
    renewer.track(group, lease('a'), 1_000);
    renewer.stop();
    expect([renewer.size, clock.pending]).toEqual([0, 0]);
    renewer.track(group, lease('b'), 1_000);
    await clock.advanceAsync(1_000);
    expect(group.calls).toEqual([{ at: 1_000, keys: [lease('b').key] }]);
  });

  it('does not keep the process alive', () => {
    const unref = jest.fn();
    const renewer = new LeaseRenewer({
      now: () => systemClock.now(),
      after: (ms, run, options) => {
        unref(options?.unref);
        return systemClock.after(ms, run, options);
      },
    });
    renewer.track({ renew: () => Promise.resolve() }, lease('a'), 60_000);
    expect(unref).toHaveBeenCalledWith(true);
    renewer.stop();
  });
});
