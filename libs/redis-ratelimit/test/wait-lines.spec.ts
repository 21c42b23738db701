import { ManualClock, RedisUnavailableError } from '@redstart/redis-core';
import { combine, type RateLimitDecision } from '../src/decision.js';
import { WaitLines, type Attempt, type Entrance } from '../src/waiting/wait-lines.js';

const limit = { kind: 'gcra', blocked: false, limit: 5, windowMs: 1_000, resetAfterMs: 0 } as const;

function decisionOf(name: string, allowed: boolean): RateLimitDecision {
  const row = { ...limit, name, allowed, remaining: allowed ? 1 : 0, retryAfterMs: allowed ? 0 : 1_000 };
  return combine({ name, enforce: true }, [row], 'redis', undefined);
}

const admitted = (name: string): Attempt<string> => ({ got: name, decision: decisionOf(name, true), againInMs: 0 });
const denied = (name: string): Attempt<string> => ({
  got: undefined,
  decision: decisionOf(name, false),
  againInMs: 1_000,
});

/** All that waits for nothing but promises has gone on. */
const settled = async () => {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate);
};

describe('a line of waiters', () => {
  let clock: ManualClock;
  let lines: WaitLines;
  let givenBack: string[];
  beforeEach(() => {
    clock = new ManualClock();
    lines = new WaitLines(clock);
    givenBack = [];
  });

  const entrance = (attempt: () => Promise<Attempt<string>>): Entrance<string> => ({
    attempt,
    giveBack: (got) => {
      givenBack.push(got);
      return Promise.resolve();
    },
  });
  const enters = (name: string) => entrance(() => Promise.resolve(admitted(name)));
  const isDenied = (name: string) => entrance(() => Promise.resolve(denied(name)));
  const bounds = (signal?: AbortSignal) => ({ maxWaitMs: 60_000, signal });

  /** What became of a wait, as far as it is over. */
  function watch(wait: Promise<string>): string[] {
    const seen: string[] = [];
    wait.then(
      (got) => seen.push(got),
      (error: unknown) => seen.push(error instanceof Error ? error.message : 'no error'),
    );
    return seen;
  }

  /** An entrance that opens when told. */
  function gate(name: string) {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    return { entrance: entrance(() => opened.then(() => admitted(name))), open };
  }

  it.each(Array.from({ length: 16 }, (_, turns) => turns))(
    'goes on when one who waits leaves %i microtasks after the first one got in',
    async (turns) => {
      const first = gate('first');
      const leaving = new AbortController();
      const seen = [
        watch(lines.wait('k', bounds(), first.entrance)),
        watch(lines.wait('k', bounds(leaving.signal), enters('second'))),
        watch(lines.wait('k', bounds(), enters('third'))),
      ];
      await settled();
      first.open();
      for (let i = 0; i < turns; i++) await Promise.resolve();
      leaving.abort(new Error('left'));
      await settled();
      expect(seen[0]).toEqual(['first']);
      expect(['left', 'second']).toContain(seen[1]?.[0]);
      expect(seen[2]).toEqual(['third']);
      const later = watch(lines.wait('k', bounds(), enters('later')));
      await settled();
      expect(later).toEqual(['later']);
    },
  );

  it('is left at once by who was called off before it came', async () => {
    const first = watch(lines.wait('k', bounds(), isDenied('first')));
    await settled();
    const seen = watch(lines.wait('k', bounds(AbortSignal.abort(new Error('before'))), enters('second')));
    await settled();
    expect([first, seen]).toEqual([[], ['before']]);
  });

  it('is left at once in the middle of a try, and what that still gets is given back', async () => {
    const first = gate('first');
    const leaving = new AbortController();
    const seen = watch(lines.wait('k', bounds(leaving.signal), first.entrance));
    const second = watch(lines.wait('k', bounds(), enters('second')));
    await settled();
    leaving.abort(new Error('left'));
    await settled();
    expect([seen, second, givenBack]).toEqual([['left'], ['second'], []]);
    first.open();
    await settled();
    expect([seen, givenBack]).toEqual([['left'], ['first']]);
  });

  it('gives nothing back of who got in before it was called off', async () => {
    const leaving = new AbortController();
    const seen = watch(lines.wait('k', bounds(leaving.signal), enters('first')));
    await settled();
    leaving.abort(new Error('left'));
    await settled();
    expect([seen, givenBack]).toEqual([['first'], []]);
  });

  it('does not concern who does not wait: it hears the answer to its own question', async () => {
    const first = watch(lines.wait('k', bounds(), isDenied('first')));
    await settled();
    const now = { maxWaitMs: 0, signal: undefined };
    expect(await lines.wait('k', now, enters('other'))).toBe('other');
    await expect(lines.wait('k', now, isDenied('own'))).rejects.toMatchObject({ decision: { policy: 'own' } });
    expect(first).toEqual([]);
  });

  it('lets who has waited for long enough ask once for itself', async () => {
    const first = watch(lines.wait('k', { maxWaitMs: 3_600_000, signal: undefined }, gate('first').entrance));
    const own = lines.wait('k', { maxWaitMs: 500, signal: undefined }, isDenied('own'));
    const ended = expect(own).rejects.toMatchObject({ decision: { policy: 'own' } });
    await settled();
    clock.advance(500);
    await ended;
    expect(first).toEqual([]);
  });

  it('hears of what came back during a try', async () => {
    const answers = [denied('first'), admitted('first')];
    let open = (): void => undefined;
    const seen = watch(
      lines.wait(
        'k',
        bounds(),
        entrance(async () => {
          const answer = answers.shift() ?? denied('first');
          await new Promise<void>((resolve) => {
            open = resolve;
          });
          return answer;
        }),
      ),
    );
    await settled();
    lines.wake('k');
    open();
    await settled();
    open();
    await settled();
    expect(seen).toEqual(['first']); // The clock stands still.
  });

  it('is dissolved when the application closes, and leaves no timer', async () => {
    const waits = [isDenied('first'), enters('second')].map((one) => lines.wait('k', bounds(), one));
    const ended = Promise.allSettled(waits);
    await settled();
    await lines.close();
    for (const outcome of await ended) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(RedisUnavailableError) as unknown });
    }
    await expect(lines.wait('k', bounds(), isDenied('late'))).rejects.toBeInstanceOf(RedisUnavailableError);
    expect(clock.pending).toBe(0);
  });
});
