import { OptionsError } from '../src/redis.errors.js';
import { systemClock } from '../src/time/clock.js';
import { ManualClock } from '../src/time/manual-clock.js';

describe('the system clock', () => {
  it('runs a timer once, never early and never synchronously', async () => {
    const started = systemClock.now();
    let ran = 0;
    const elapsed = await new Promise<number>((resolve) => {
      systemClock.after(5, () => {
        ran++;
        resolve(systemClock.now() - started);
      });
      expect(ran).toBe(0);
    });
    expect(elapsed).toBeGreaterThanOrEqual(5);
    expect(ran).toBe(1);
  });

  it('never fires a fraction of a millisecond early', async () => {
    const early = await Promise.all(
      Array.from({ length: 200 }, (_, i) => {
        const ms = 1 + (i % 10) + Math.random();
        const due = systemClock.now() + ms;
        return new Promise<boolean>((resolve) => {
          systemClock.after(ms, () => {
            resolve(systemClock.now() < due);
          });
        });
      }),
    );
    expect(early.filter(Boolean)).toEqual([]);
  });

  it('does not run what was cancelled, and may be cancelled again', async () => {
    let ran = false;
    const cancel = systemClock.after(1, () => {
      ran = true;
    });
    cancel();
    cancel();
    await new Promise<void>((resolve) => {
      systemClock.after(5, resolve);
    });
    expect(ran).toBe(false);
  });

  it.each([2 ** 31, 10 ** 12, Infinity])('waits when asked for %d ms, instead of firing at once', async (ms) => {
    let ran = false;
    const cancel = systemClock.after(
      ms,
      () => {
        ran = true;
      },
      { unref: true },
    );
    await new Promise<void>((resolve) => {
      systemClock.after(10, resolve);
    });
    cancel();
    expect(ran).toBe(false);
  });

  it('treats a moment in the past as soon as possible', async () => {
    await new Promise<void>((resolve) => {
      systemClock.after(-1_000, resolve);
    });
  });

  it('refuses NaN', () => {
    expect(() => systemClock.after(NaN, () => undefined)).toThrow(OptionsError);
  });
});

describe('a manual clock', () => {
  it('runs due timers in the order of their moments, then of their setting', () => {
    const clock = new ManualClock(100);
    const ran: string[] = [];
    const note = (name: string) => () => {
      ran.push(`${name}@${clock.now()}`);
    };
    clock.after(20, note('c'));
    clock.after(10, note('a'));
    clock.after(10, note('b'));
    clock.after(31, note('late'));
    clock.advance(30);
    expect(ran).toEqual(['a@110', 'b@110', 'c@120']);
    expect([clock.now(), clock.pending]).toEqual([130, 1]);
  });

  it('lets timers set by timers take part in the same move', () => {
    const clock = new ManualClock();
    const at: number[] = [];
    const tick = () => {
      at.push(clock.now());
      clock.after(10, tick);
    };
    clock.after(10, tick);
    clock.advance(35);
    expect(at).toEqual([10, 20, 30]);
  });

  it('does not run what was cancelled, also by a timer of the same moment', () => {
    const clock = new ManualClock();
    let ran = false;
    const cancel: { current?: () => void } = {};
    clock.after(10, () => cancel.current?.());
    cancel.current = clock.after(10, () => {
      ran = true;
    });
    clock.advance(10);
    expect(ran).toBe(false);
  });

  it('never runs an infinite timer, and a past one with the next move', () => {
    const clock = new ManualClock();
    let ran = 0;
    clock.after(Infinity, () => ran++);
    clock.after(-5, () => ran++);
    expect([ran, clock.pending]).toEqual([0, 1]);
    clock.advance(0);
    expect([ran, clock.pending]).toEqual([1, 0]);
  });

  it('follows promises between its timers when asked to', async () => {
    const clock = new ManualClock();
    const at: number[] = [];
    const loop = (async () => {
      for (let i = 0; i < 3; i++) {
        await new Promise<void>((resolve) => {
          clock.after(10, resolve);
        });
        await Promise.resolve().then(() => Promise.resolve());
        at.push(clock.now());
      }
    })();
    await clock.advanceAsync(100);
    await loop;
    expect(at).toEqual([10, 20, 30]);
  });

  it('passes on what a timer throws, and keeps the others', () => {
    const clock = new ManualClock();
    let ran = false;
    clock.after(1, () => {
      throw new Error('from the timer');
    });
    clock.after(2, () => {
      ran = true;
    });
    expect(() => {
      clock.advance(5);
    }).toThrow('from the timer');
    clock.advance(5);
    expect(ran).toBe(true);
  });

  it.each([-1, NaN, Infinity])('refuses to be moved by %d', (ms) => {
    expect(() => {
      new ManualClock().advance(ms);
    }).toThrow(OptionsError);
  });
});
