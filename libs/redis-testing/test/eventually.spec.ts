import { ConditionNotMetError, eventually } from '../src/index.js';

describe('eventually', () => {
  it('resolves with the value of the first attempt that holds', async () => {
    let attempts = 0;
    const value = await eventually(
      () => {
        attempts += 1;
        if (attempts < 3) throw new Error('not yet');
        return attempts;
      },
      { every: 1 },
    );
    expect(value).toBe(3);
  });

  it('takes false for a condition that does not hold, and undefined for one that does', async () => {
    let attempts = 0;
    await eventually(() => ++attempts === 2, { every: 1 });
    expect(attempts).toBe(2);
    await expect(eventually(() => undefined)).resolves.toBeUndefined();
  });

  it('gives up with the message of the last attempt', async () => {
    let attempts = 0;
    const failing = eventually(
      () => {
        attempts += 1;
        throw new Error(`attempt ${attempts}`);
      },
      { within: 30, every: 1 },
    );
    const error = await failing.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ConditionNotMetError);
    expect(String(error)).toContain(`attempt ${attempts}`);
  });

  it('gives up on an attempt that hangs', async () => {
    const hanging = eventually(() => new Promise<void>(() => undefined), { within: 30 });
    await expect(hanging).rejects.toThrow('it did not end');
  });
});
