import { checkLog } from './check-log.js';
import type { HoldSaid, LogEntry, Pause, Said } from './log-entry.js';

/** What the checker of the chaos specs takes for a breach, and what it does not. Times are ms; a lease is 1000. */
describe('the checker of a log', () => {
  const entry = (lookedAt: number, said: Said): LogEntry => ({ at: lookedAt * 1_000, lookedAt, ...said });
  const of = (worker: string, round: number, fence: number) => {
    const say = (what: HoldSaid['what'], lookedAt: number, heldUntil: number) =>
      entry(lookedAt, { what, worker, key: 'k', hold: `${worker}#${round}`, fence, ttlMs: 1_000, heldUntil });
    return {
      enter: (at: number, heldUntil = at + 988) => say('enter', at, heldUntil),
      still: (at: number, heldUntil = at + 988) => say('still', at, heldUntil),
      exit: (at: number, heldUntil = at + 500) => say('exit', at, heldUntil),
      lost: (at: number, pauses: readonly Pause[] = []) => ({ ...say('lost', at, at), pauses }),
    };
  };
  const a = of('a', 1, 10);
  const b = of('b', 1, 11);
  const check = (...log: LogEntry[]) => checkLog(log, { allowedFailures: ['LOCK_TIMEOUT'] });

  it('finds nothing when one comes after the other', () => {
    expect(check(a.enter(0), a.exit(50), b.enter(51), b.exit(60))).toEqual([]);
  });

  it('does not go by the order in which the log was written', () => {
    expect(check(b.enter(51), a.enter(0), b.exit(60), a.exit(50))).toEqual([]);
  });

  describe('overlap', () => {
    it('is found when somebody enters before the other has left', () => {
      const findings = check(a.enter(0), b.enter(40), a.exit(50), b.exit(60));
      expect(findings).toEqual([expect.stringMatching(/^overlap on k: b#1 .* 10\.0 ms before the end of a#1/)]);
    });

    it('is found under the lease of a holder that is dead or lost it', () => {
      const killed = entry(5, { what: 'killed', worker: 'a' });
      expect(check(a.enter(0), killed, b.enter(900), b.exit(910))).toHaveLength(1);
      expect(check(a.enter(0), b.enter(900), b.exit(910), a.lost(988))).toHaveLength(1);
    });

    it('is found within a lease that was renewed', () => {
      expect(check(a.enter(0), a.still(500), b.enter(1_200), b.exit(1_210), a.lost(1_488))).toHaveLength(1);
    });

    it('is none once the lease has lapsed: of a dead holder, or of one that slept and noticed', () => {
      const killed = entry(5, { what: 'killed', worker: 'a' });
      expect(check(a.enter(0), killed, b.enter(1_000), b.exit(1_010))).toEqual([]);
      const slept = [entry(10, { what: 'froze', worker: 'a' }), entry(3_000, { what: 'thawed', worker: 'a' })];
      expect(check(a.enter(0), ...slept, b.enter(1_000), b.exit(1_010), a.lost(3_001))).toEqual([]);
    });

    it('is found when a holder that slept does not notice, and goes on to claim the lock', () => {
      const slept = [entry(10, { what: 'froze', worker: 'a' }), entry(3_000, { what: 'thawed', worker: 'a' })];
      const findings = check(a.enter(0), ...slept, b.enter(1_000), b.exit(1_010), a.exit(3_001, 3_001));
      expect(findings).toEqual([
        expect.stringContaining('overlap'),
        expect.stringMatching(/^a#1 .* claimed k 2013\.0 ms after its lease had ended$/),
      ]);
    });

    it('is excused when Redis lost the lock in between, and only then', () => {
      const forgot = (from: number, to: number) => entry(to, { what: 'forgot', from });
      expect(check(a.enter(0), forgot(100, 110), b.enter(120), a.lost(330), b.exit(340))).toEqual([]);
      expect(check(a.enter(0), b.enter(90), forgot(100, 110), a.lost(330), b.exit(340))).toHaveLength(1);
      // Acquired after the loss, so it was not lost.
      expect(check(forgot(100, 110), a.enter(1_200), b.enter(1_300), a.lost(1_400), b.exit(1_410))).toHaveLength(1);
    });

    it('is excused also of one that was slow to enter, behind the one that came after the loss, and only then', () => {
      const forgot = (from: number, to: number) => entry(to, { what: 'forgot', from });
      const lateBehindB = [b.enter(120), a.enter(130, 988), b.exit(170), a.lost(330)];
      expect(check(forgot(50, 60), ...lateBehindB)).toEqual([]);
      const both = [
        expect.stringMatching(/^overlap on k: a#1/),
        expect.stringMatching(/^token of k did not rise: a#1/),
      ];
      expect(check(...lateBehindB)).toEqual(both);
      // The other one was inside before the loss.
      expect(check(forgot(124, 126), ...lateBehindB)).toEqual(both);
      // Acquired after the loss.
      expect(check(forgot(50, 60), b.enter(120), a.enter(130), b.exit(170), a.lost(330))).toEqual(both);
    });
  });

  it('finds a token that does not rise, per key', () => {
    const same = of('b', 1, 10);
    const lower = of('b', 1, 9);
    expect(check(a.enter(0), a.exit(10), same.enter(20), same.exit(30))).toEqual([
      'token of k did not rise: b#1 (token 10) came after a#1 (token 10)',
    ]);
    expect(check(a.enter(0), a.exit(10), lower.enter(20), lower.exit(30))).toHaveLength(1);
    const elsewhere = [lower.enter(20), lower.exit(30)].map((said) => ({ ...said, key: 'other' }));
    expect(check(a.enter(0), a.exit(10), ...elsewhere)).toEqual([]);
  });

  it('finds a loss that is noticed late, unless the process slept until then', () => {
    expect(check(a.enter(0), a.lost(1_100))).toEqual([]);
    expect(check(a.enter(0), a.lost(1_600))).toEqual([expect.stringMatching(/noticed the loss of k 612 ms late/)]);
    const slept = [entry(10, { what: 'froze', worker: 'a' }), entry(1_500, { what: 'thawed', worker: 'a' })];
    expect(check(a.enter(0), ...slept, a.lost(1_600))).toEqual([]);
    expect(check(a.enter(0), ...slept, a.lost(2_100))).toHaveLength(1);
    const another = [entry(10, { what: 'froze', worker: 'b' }), entry(1_500, { what: 'thawed', worker: 'b' })];
    expect(check(a.enter(0), ...another, a.lost(1_600))).toHaveLength(1);
    const before = [entry(-20, { what: 'froze', worker: 'a' }), entry(-10, { what: 'thawed', worker: 'a' })];
    expect(check(...before, a.enter(0), a.lost(1_600))).toHaveLength(1);
  });

  it('counts only the time in which the process has run: a machine may leave it standing', () => {
    expect(check(a.enter(0), a.lost(1_600, [[600, 1_580]]))).toEqual([]);
    expect(
      check(
        a.enter(0),
        a.lost(2_000, [
          [990, 1_500],
          [1_600, 1_700],
        ]),
      ),
    ).toEqual([]);
    expect(check(a.enter(0), a.lost(1_600, [[600, 980]]))).toHaveLength(1);
    expect(check(a.enter(0), a.lost(1_600, [[1_500, 1_600]]))).toEqual([
      expect.stringMatching(/noticed the loss of k 512 ms late/),
    ]);
  });

  it('finds a renewal of what Redis had lost', () => {
    const forgot = entry(110, { what: 'forgot', from: 100 });
    expect(check(a.enter(0), forgot, a.still(300), a.exit(400))).toEqual([
      'a#1 (token 10) went on to renew k after Redis had lost it',
    ]);
    expect(check(a.enter(0), forgot, a.lost(330))).toEqual([]);
    const mayHave = entry(110, { what: 'may-have-forgotten', from: 100 });
    expect(check(a.enter(0), mayHave, a.still(300), a.exit(400))).toEqual([]);
  });

  it('finds a call that failed in a way that the test does not expect', () => {
    const failed = (code: string) => entry(0, { what: 'failed', worker: 'a', key: 'k', code, message: 'why' });
    expect(check(failed('LOCK_TIMEOUT'))).toEqual([]);
    expect(check(failed('UNEXPECTED'))).toEqual(['a call of a failed: UNEXPECTED why']);
  });
});
