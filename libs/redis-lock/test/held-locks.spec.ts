import { ManualClock } from '@redstart/redis-core';
import fc from 'fast-check';
import { Gathering, type Member } from '../src/gathering.js';
import { HeldLocks, type Expiring } from '../src/held-locks.js';

class Held implements Expiring {
  place = -1;
  endedAt: number | undefined;

  constructor(
    private readonly locks: HeldLocks<Held>,
    private readonly clock: ManualClock,
    public validUntil: number,
  ) {
    locks.watch(this);
  }

  extend(validUntil: number): void {
    this.validUntil = validUntil;
    this.locks.watch(this);
  }

  release(): void {
    this.locks.delete(this);
  }

  expire(): void {
    this.endedAt = this.clock.now();
    this.release();
  }
}

describe('the watch over held locks', () => {
  const setUp = () => {
    const clock = new ManualClock();
    const locks = new HeldLocks<Held>(clock);
    return { clock, hold: (until: number) => new Held(locks, clock, until) };
  };

  it('ends each of them at its own moment, with one timer', () => {
    const { clock, hold } = setUp();
    const held = [30, 10, 20, 20, 40].map(hold);
    expect(clock.pending).toBe(1);
    clock.advance(35);
    expect(held.map(({ endedAt }) => endedAt)).toEqual([30, 10, 20, 20, undefined]);
    clock.advance(5);
    expect(held.at(-1)?.endedAt).toBe(40);
    expect(clock.pending).toBe(0);
  });

  it('follows an end that moves, later or earlier', () => {
    const { clock, hold } = setUp();
    const later = hold(10);
    const earlier = hold(50);
    later.extend(60);
    clock.advance(20);
    expect(later.endedAt).toBeUndefined();
    earlier.extend(30);
    clock.advance(80);
    expect([later.endedAt, earlier.endedAt]).toEqual([60, 30]);
  });

  it('leaves no timer when nothing is held, and sets one again', () => {
    const { clock, hold } = setUp();
    const released = hold(10);
    released.release();
    expect(clock.pending).toBe(0);
    const next = hold(20);
    clock.advance(100);
    expect([released.endedAt, next.endedAt]).toEqual([undefined, 20]);
  });

  it('ends what is over already as soon as possible', () => {
    const { clock, hold } = setUp();
    clock.advance(10);
    const over = hold(5);
    clock.advance(0);
    expect(over.endedAt).toBe(10);
  });
});

describe('a gathering', () => {
  it('has whoever came and has not left, like a set', () => {
    const steps = fc.array(fc.record({ arrives: fc.boolean(), who: fc.nat(7) }), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (moves) => {
        const people = Array.from({ length: 8 }, (): Member => ({ place: -1 }));
        const gathering = new Gathering<Member>();
        const expected = new Set<Member>();
        for (const { arrives, who } of moves) {
          const person = people[who] ?? { place: -1 };
          if (arrives) {
            gathering.add(person);
            expected.add(person);
          } else {
            expect(gathering.delete(person)).toBe(expected.delete(person));
          }
          expect(gathering.size).toBe(expected.size);
          expect([...gathering].every((member) => expected.has(member))).toBe(true);
          expect(people.map((one) => gathering.has(one))).toEqual(people.map((one) => expected.has(one)));
        }
      }),
    );
  });
});
