import { ForgottenKeys } from '../src/denials/forgotten-keys.js';

describe('what was forgotten', () => {
  it('is known by key and moment', () => {
    const forgotten = new ForgottenKeys();
    const before = forgotten.now;
    forgotten.forget(['bob', 'eve']);
    expect(forgotten.anySince(before, ['ann'])).toBe(false);
    expect(forgotten.anySince(before, ['ann', 'eve'])).toBe(true);
    expect(forgotten.anySince(forgotten.now, ['bob'])).toBe(false);
  });

  it('may be anything before what is remembered of it, and is so after a gap', () => {
    const forgotten = new ForgottenKeys();
    const before = forgotten.now;
    forgotten.forget(['bob']);
    const between = forgotten.now;
    forgotten.forget(Array.from({ length: 1_000 }, (_, index) => `${index}`));
    expect(forgotten.anySince(before, ['bob'])).toBe(true);
    expect(forgotten.anySince(between, ['bob'])).toBe(false);
    forgotten.forgetAll();
    expect(forgotten.anySince(between, ['bob'])).toBe(true);
    expect(forgotten.anySince(forgotten.now, ['bob'])).toBe(false);
  });
});
