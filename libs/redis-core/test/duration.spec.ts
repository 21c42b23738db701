import fc from 'fast-check';
import { OptionsError } from '../src/redis.errors.js';
import { type Duration, durationMs, formatDuration } from '../src/time/duration.js';

/** What arrives from JavaScript or from the environment, where the type can't help. */
const read = (value: unknown, limits?: { min?: number; max?: number }) => durationMs(value as Duration, 'ttl', limits);

describe('durationMs', () => {
  it.each<[Duration, number]>([
    [250, 250],
    ['250ms', 250],
    ['10s', 10_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['1.5s', 1_500],
    ['1.005s', 1_005],
    ['0.25m', 15_000],
    ['010s', 10_000],
    ['365d', 31_536_000_000],
  ])('reads %p as %d ms', (value, ms) => {
    expect(durationMs(value, 'ttl')).toBe(ms);
  });

  it.each<[unknown]>([
    [0],
    [-1],
    [-0],
    [0.5],
    [NaN],
    [Infinity],
    [-Infinity],
    [2 ** 53],
    ['0s'],
    ['-5s'],
    ['+5s'],
    ['5'],
    [''],
    ['s'],
    ['5 minutes'],
    ['5 m'],
    [' 5m'],
    ['5m '],
    ['5m\n'],
    ['1e3s'],
    ['0x10s'],
    ['.5s'],
    ['5.s'],
    ['1_000ms'],
    ['0.5ms'],
    ['1.0005s'],
    ['5M'],
    ['5w'],
    ['5constructor'],
    ['٣s'],
    ['366d'],
    ['9999999999999999d'],
    ['1'.repeat(100_000) + 's'],
    [10n],
    [null],
    [undefined],
    [true],
    [['5s']],
    [{ valueOf: () => 5 }],
    [Symbol('5s')],
  ])('refuses %p', (value) => {
    expect(() => read(value)).toThrow(OptionsError);
  });

  it('names the option, the value and what is allowed', () => {
    expect(() => read('5 minutes')).toThrow(
      `ttl: "5 minutes" is not a duration from 1ms to 365d. Write whole milliseconds as a number, or a number with its unit: '250ms', '10s', '5m', '2h', '1d'.`,
    );
    expect(() => read('2h', { min: 10, max: 60_000 })).toThrow('"2h" is not a duration from 10ms to 1m');
  });

  it('shows a hostile value escaped and cut', () => {
    const hostile = () => read('\u001b[31m\r\nERROR forged\u202e' + 'x'.repeat(10_000));
    expect(hostile).toThrow('"\\u001b[31m\\r\\nERROR forged\\u202exx');
    expect(hostile).toThrow(/^.{1,300}$/);
  });

  it('allows zero where the option does', () => {
    expect(durationMs(0, 'grace', { min: 0 })).toBe(0);
    expect(durationMs(-0, 'grace', { min: 0 })).toBe(0);
    expect(durationMs('0s', 'grace', { min: 0 })).toBe(0);
    expect(() => durationMs(-1, 'grace', { min: 0 })).toThrow(OptionsError);
  });

  it('is exact for every decimal that is a whole number of milliseconds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 ** 9 }), (ms) => {
        const seconds = `${Math.floor(ms / 1000)}.${String(ms % 1000).padStart(3, '0')}s`;
        expect(read(seconds)).toBe(ms);
      }),
    );
  });

  it('is quick with a hostile text of 100 KB', () => {
    // Once is enough: a machine that stalls is slow now and then, and a text that is too much for it always.
    const took = Array.from({ length: 5 }, () => {
      const started = performance.now();
      for (const text of ['1'.repeat(100_000), '1.'.repeat(50_000), ' '.repeat(100_000) + 's']) {
        expect(() => read(text)).toThrow(OptionsError);
      }
      return performance.now() - started;
    });
    expect(Math.min(...took)).toBeLessThan(250);
  });
});

describe('formatDuration', () => {
  it.each([
    [0, '0ms'],
    [-0, '0ms'],
    [1, '1ms'],
    [1_500, '1500ms'],
    [90_000, '90s'],
    [300_000, '5m'],
    [7_200_000, '2h'],
    [86_400_000, '1d'],
    [12.4, '12ms'],
    [Infinity, 'Infinityms'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it('is read back as the same duration', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 31_536_000_000 }), (ms) => {
        expect(durationMs(formatDuration(ms), 'ttl')).toBe(ms);
      }),
    );
  });
});
