import { ManualClock } from '@redstart/redis-core';
import { Writes } from '../src/flight/writes.js';
import { WaitBudget } from '../src/store/budget.js';
import { gate, type Gate } from './app.js';

/** The order of one process, with sends that are answered when a test says so. */
function line() {
  const clock = new ManualClock();
  const writes = new Writes();
  const sent: string[] = [];
  const leftMs: number[] = [];
  const answers: Gate<void>[] = [];
  const sending = (name: string, budget: WaitBudget) => async () => {
    sent.push(name);
    leftMs.push(budget.leftMs);
    const answer = gate();
    answers.push(answer);
    await answer.opened;
    if (name.startsWith('failing')) throw new Error(name);
  };
  return {
    clock,
    writes,
    sent,
    leftMs,
    async set(name: string, key = 'z') {
      const budget = new WaitBudget(clock, 200);
      const write = writes.begin(key);
      try {
        await writes.set(key, write, budget, sending(name, budget));
      } finally {
        writes.end(key, write);
      }
    },
    async delete(name: string, key = 'z') {
      const budget = new WaitBudget(clock, 200);
      writes.outdate(key);
      await writes.delete(key, budget, sending(name, budget));
    },
    /** Answers what has been sent as the nth. */
    answer(nth: number) {
      answers[nth]?.open();
    },
  };
}

/** All that promises have to say until something else happens. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('the line behind a set', () => {
  it('sends deletions when the set has been answered, and waits again behind the newest set', async () => {
    const { writes, sent, answer, ...call } = line();
    const calls = [
      call.set('first'),
      call.delete('delete 1'),
      call.delete('delete 2'),
      call.set('outdated 1'),
      call.set('outdated 2'),
      call.delete('delete 3'),
      call.set('newest'),
      call.delete('y at once', 'y'),
    ];
    await settled();
    expect(sent).toEqual(['first', 'y at once']);
    answer(0);
    await settled();
    expect(sent.slice(2)).toEqual(['delete 1', 'delete 2', 'delete 3', 'newest']);
    const behind = [call.delete('delete 4')];
    await settled();
    expect(sent).toHaveLength(6);
    for (const nth of [1, 2, 3, 4, 5]) answer(nth);
    await settled();
    expect(sent.slice(6)).toEqual(['delete 4']);
    answer(6);
    await Promise.all([...calls, ...behind]);
    expect(writes.size).toBe(0);
  });

  it('moves on behind a set that fails, and sends each call once', async () => {
    const { writes, sent, answer, ...call } = line();
    const failing = call.set('failing');
    const late = [call.delete('failing, too'), call.set('next')];
    const outcomes = Promise.allSettled([failing, ...late]);
    for (const nth of [0, 1, 2]) {
      await settled();
      answer(nth);
    }
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    expect(sent).toEqual(['failing', 'failing, too', 'next']);
    expect(writes.size).toBe(0);
  });

  it('takes the wait off the budget, to nothing at worst, and sends all the same', async () => {
    const { clock, sent, leftMs, answer, ...call } = line();
    const first = call.set('first');
    const second = call.delete('second');
    clock.advance(150);
    const third = call.set('third');
    clock.advance(70);
    answer(0);
    await settled();
    expect(sent).toEqual(['first', 'second', 'third']);
    expect(leftMs).toEqual([200, 0, 130]);
    answer(1);
    answer(2);
    await Promise.all([first, second, third]);
  });

  it('sends those whose turn it is before anything that is called in that moment', async () => {
    const { sent, answer, ...call } = line();
    // The caller of the first one goes on as soon as it can.
    const first = call.set('first').then(() => call.set('afterwards'));
    const deletion = call.delete('deletion');
    answer(0);
    await settled();
    expect(sent).toEqual(['first', 'deletion', 'afterwards']);
    answer(1);
    answer(2);
    await Promise.all([first, deletion]);
  });

  it('lets thousands of outdated calls go', async () => {
    const { writes, sent, answer, ...call } = line();
    const calls = Array.from({ length: 20_000 }, (_, index) => call.set(`${index}`));
    answer(0);
    await settled();
    answer(1);
    await Promise.all(calls);
    expect(sent).toEqual(['0', '19999']);
    expect(writes.size).toBe(0);
  });
});
