import { judge, outstanding, repeated, type Excuses, type RedisState } from './judge.js';
import { slots, type Strike } from './effects.js';
import type { Effect, Line } from './line.js';
import { WaveRecord } from './wave-record.js';

/** What the judge of the chaos specs takes for a breach, and what it does not. */
describe('the judge of a wave', () => {
  const published = (message: string, startedAt = 10, more: { effect?: Effect; dueAt?: number } = {}): Line => ({
    what: 'published',
    message,
    attempt: 1,
    startedAt,
    at: startedAt,
    ...more,
  });
  const handled = (message: string, at = 20, by = 'c1'): Line => ({
    what: 'handled',
    message,
    by,
    begunAt: at - 1,
    at,
  });
  const killed = (by: string, from = 0): Strike => ({ by, from, at: Infinity });
  const rejected = (message: string, outcome: 'unknown' | 'not-executed'): Line => ({
    what: 'rejected',
    message,
    outcome,
    at: 15,
  });
  const counts = (...messages: string[]) => {
    const map = new Map<string, number>();
    for (const message of messages) map.set(message, (map.get(message) ?? 0) + 1);
    return map;
  };
  const recordOf = (lines: readonly Line[]) => {
    const record = new WaveRecord();
    record.add(lines);
    return record;
  };
  const check = (lines: readonly Line[], state: Partial<RedisState> = {}, excuses: Partial<Excuses> = {}) =>
    judge(
      recordOf(lines),
      { entries: counts(), deadLetters: counts(), effects: counts(), failing: new Set(), ...state },
      { killed: [], leaseMs: 100, ...excuses },
    );

  it('finds nothing when everything was handled, however often, or became a dead letter', () => {
    const lines = [published('p1-1'), handled('p1-1'), handled('p1-1'), published('p1-2')];
    const state = { entries: counts('p1-1', 'p1-2'), deadLetters: counts('p1-2'), failing: new Set(['p1-2']) };
    expect(check(lines, state)).toEqual([]);
    expect(repeated(recordOf(lines))).toBe(1);
  });

  it('finds a message that was acknowledged and is gone', () => {
    expect(check([published('p1-1')])).toEqual([expect.stringMatching(/^p1-1 was acknowledged .* neither/)]);
  });

  it('excuses a message that was published before Redis lost its data, and no later one', () => {
    const lines = [published('p1-1', 10), published('p1-2', 11)];
    expect(check(lines, {}, { lostUntil: 10 })).toEqual([expect.stringMatching(/^p1-2 /)]);
    expect(outstanding(recordOf(lines), new Set(), 10)).toEqual(['p1-2']);
  });

  it('finds a message that is there twice, also one of unknown outcome', () => {
    const lines = [rejected('p1-1', 'unknown'), handled('p1-1')];
    expect(check(lines, { entries: counts('p1-1') })).toEqual([]);
    expect(check(lines, { entries: counts('p1-1', 'p1-1') })).toEqual(['p1-1 was added 2 times']);
  });

  it('finds a message that publish said it had not sent', () => {
    const lines = [rejected('p1-1', 'not-executed')];
    expect(check(lines)).toEqual([]);
    expect(check(lines, { entries: counts('p1-1') })).toEqual([expect.stringMatching(/nothing was sent/)]);
    expect(check([...lines, handled('p1-1')])).toHaveLength(1);
  });

  it('finds a message that nobody has published, unless its publisher was killed', () => {
    expect(check([handled('p1-1')])).toEqual([expect.stringMatching(/nobody has published/)]);
    expect(check([handled('p1-1')], {}, { killed: [killed('p1')] })).toEqual([]);
    expect(check([handled('p1-1')], {}, { killed: [killed('p2')] })).toHaveLength(1);
  });

  it('finds a second dead letter of one message, and one of a message that would have worked', () => {
    const lines = [published('p1-7')];
    const failing = new Set(['p1-7']);
    expect(check(lines, { deadLetters: counts('p1-7', 'p1-7'), failing })).toEqual([
      'p1-7 became a dead letter 2 times',
    ]);
    expect(check(lines, { deadLetters: counts('p1-7') })).toEqual([expect.stringMatching(/would have worked/)]);
  });

  it('finds a committed effect that took place twice, and takes one for the end of its message', () => {
    expect(check([published('p1-1')], { effects: counts('p1-1') })).toEqual([]);
    expect(check([published('p1-1')], { effects: counts('p1-1', 'p1-1') })).toEqual([
      'p1-1 had its committed effect 2 times',
    ]);
  });

  it('finds a committed effect that was lost, whoever says that the message was handled', () => {
    const lines = [published('p1-1', 10, { effect: 'by commit' }), handled('p1-1')];
    expect(check(lines, { effects: counts('p1-1') })).toEqual([]);
    expect(check(lines)).toEqual(['p1-1 was acknowledged, and never had its committed effect']);
    expect(check(lines, { deadLetters: counts('p1-1'), failing: new Set(['p1-1']) })).toEqual([]);
    expect(check(lines, {}, { lostUntil: 10 })).toEqual([]);
    expect(check(lines, {}, { lostUntil: 9 })).toHaveLength(1);
  });

  describe('of an effect that the inbox remembers', () => {
    const once = published('p1-1', 10, { effect: 'by inbox' });
    const twice = [once, handled('p1-1', 20, 'c1'), handled('p1-1', 90, 'c2')];
    const lapse = (what: 'stalled' | 'cut off', by: string, from: number, at: number): Line => ({ what, by, from, at });

    it('finds that it was lost', () => {
      expect(check([once])).toHaveLength(1);
    });

    it('finds that it took place again without a reason', () => {
      expect(check([once, handled('p1-1')])).toEqual([]);
      expect(check(twice)).toEqual([
        'p1-1 took effect 2 times, and 0 strikes allow 1',
        '1 effects were repeated, and strikes allow 0',
      ]);
    });

    it('allows one more for each strike between the publication and the last effect', () => {
      expect(check(twice, {}, { killed: [killed('c1', 50)] })).toEqual([]);
      expect(check([...twice, lapse('stalled', 'c1', 15, 60)])).toEqual([]);
      expect(check([...twice, lapse('cut off', 'c2', 15, 60)])).toEqual([]);
      const thrice = [...twice, handled('p1-1', 95, 'c3')];
      expect(check([...thrice, lapse('stalled', 'c1', 15, 60)])).toHaveLength(1);
      expect(check([...thrice, lapse('stalled', 'c1', 15, 60), lapse('stalled', 'c2', 91, 94)])).toEqual([]);
    });

    it('allows nothing for a strike at another time, or told in two ways', () => {
      expect(check(twice, {}, { killed: [killed('c1', 91)] })).toHaveLength(1);
      expect(check([...twice, lapse('stalled', 'c1', 5, 9)])).toHaveLength(2);
      const toldTwice = [lapse('stalled', 'c1', 15, 60), lapse('cut off', 'c1', 16, 62)];
      expect(check([...twice, handled('p1-1', 95, 'c2'), ...toldTwice])).toHaveLength(1);
    });

    it('allows no more of all together than who was struck has slots', () => {
      const handledAgain = Array.from({ length: slots + 1 }, (_, at) => [
        published(`p1-${at}`, 10, { effect: 'by inbox' }),
        handled(`p1-${at}`, 20, 'c1'),
        handled(`p1-${at}`, 90, 'c2'),
      ]).flat();
      const findings = check(handledAgain, {}, { killed: [killed('c1', 50)] });
      expect(findings).toEqual([`${slots + 1} effects were repeated, and strikes allow ${slots}`]);
      expect(check(handledAgain, {}, { killed: [killed('c1', 50), killed('c2', 50)] })).toEqual([]);
    });

    it('does not count what was begun before Redis lost its data', () => {
      expect(check(twice, {}, { lostUntil: 19 })).toEqual([]);
      expect(check(twice, {}, { lostUntil: 18 })).toHaveLength(2);
    });
  });

  it('finds a delayed message that was handled before its time', () => {
    expect(check([published('p1-1', 10, { dueAt: 110 }), handled('p1-1', 120)])).toEqual([]);
    expect(check([published('p1-1', 10, { dueAt: 110 }), handled('p1-1', 101)])).toEqual([
      'p1-1 was handled 10 ms before its time',
    ]);
  });

  it('finds a publication that failed for no outage', () => {
    expect(check([{ what: 'failed', message: 'p1-1', error: 'TypeError: x' }])).toEqual([
      'publish of p1-1 failed: TypeError: x',
    ]);
  });

  it('tells when the flow goes on', () => {
    const record = recordOf([published('p1-1', 10), handled('p1-1', 50), published('p1-2', 30), handled('p1-2', 40)]);
    expect(record.firstHandledOf(20)).toBe(40);
    expect(record.firstHandledOf(30)).toBeUndefined();
  });
});
