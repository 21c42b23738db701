import { combine, type RateLimitDecision } from '../src/decision.js';
import { CallLedger, CallLedgers, type CallCheck } from '../src/requests/call-ledger.js';

const check = (policy: string, key = 'k', cost = 1): CallCheck => ({
  policy: { name: policy },
  key,
  subject: key,
  cost,
  refundOn: undefined,
});

const decision = (name: string, allowed: boolean): RateLimitDecision =>
  combine(
    { name, enforce: true },
    [
      {
        name,
        kind: 'sliding-window',
        allowed,
        blocked: false,
        limit: 1,
        windowMs: 1_000,
        remaining: 0,
        retryAfterMs: allowed ? 0 : 1_000,
        resetAfterMs: 1_000,
      },
    ],
    'redis',
    undefined,
  );

/** Denies some policies, and keeps what it was asked for. */
function decider(...denied: string[]) {
  const asked: string[][] = [];
  const decide = (due: readonly CallCheck[]) => {
    asked.push(due.map(({ policy, key, cost }) => `${policy.name} ${String(key)} ${cost}`));
    return Promise.resolve(due.map(({ policy }) => decision(policy.name, !denied.includes(policy.name))));
  };
  return { asked, decide };
}

const allowedBy = (counted: readonly { decision: RateLimitDecision }[]) =>
  counted.map((one) => `${one.decision.policy} ${one.decision.allowed}`);

describe('what one call is counted for', () => {
  it('is asked once by policy and subject, at the highest cost', async () => {
    const { asked, decide } = decider();
    const ledger = new CallLedger();
    await ledger.charge([check('api'), check('search', 'k', 2), check('api', 'other')], decide);
    await ledger.charge([check('api'), check('search', 'k', 1)], decide);
    await ledger.charge([check('api', 'k', 5)], decide);
    await ledger.charge([check('api', 'k', 3)], decide);
    expect(asked).toEqual([['api k 1', 'search k 2', 'api other 1'], ['api k 4']]);
  });

  it('stays denied for the rest of the call, and asks again for what was not charged beside a denial', async () => {
    const { asked, decide } = decider('search');
    const ledger = new CallLedger();
    expect(allowedBy(await ledger.charge([check('api'), check('search')], decide))).toEqual([
      'api true',
      'search false',
    ]);
    expect(allowedBy(await ledger.charge([check('search')], decide))).toEqual(['search false']);
    expect(allowedBy(await ledger.charge([check('api')], decide))).toEqual(['search false', 'api true']);
    expect(asked).toEqual([['api k 1', 'search k 1'], ['api k 1']]);
  });

  it('is decided one after the other, and again after a failure', async () => {
    const ledger = new CallLedger();
    const { asked, decide } = decider();
    const failing = ledger.charge([check('api')], () => Promise.reject(new Error('down')));
    const both = [ledger.charge([check('api')], decide), ledger.charge([check('api')], decide)];
    await expect(failing).rejects.toThrow('down');
    for (const one of both) await one;
    expect(asked).toEqual([['api k 1']]);
  });

  it('belongs to its scope: one object, or two together', () => {
    const ledgers = new CallLedgers();
    const [request, context, operation] = [{}, {}, {}];
    expect(ledgers.of([request])).toBe(ledgers.of([request]));
    expect(new CallLedgers().of([request])).not.toBe(ledgers.of([request]));
    const sealed = Object.freeze({});
    expect(ledgers.of([sealed])).toBe(ledgers.of([sealed]));
    expect(ledgers.of([sealed])).not.toBe(ledgers.of([Object.freeze({})]));
    expect(ledgers.of([context, operation])).toBe(ledgers.of([context, operation]));
    expect(ledgers.of([context, operation])).not.toBe(ledgers.of([context, {}]));
    expect(ledgers.of([{}, operation])).not.toBe(ledgers.of([context, operation]));
  });
});
