import { rateLimitFields } from '../src/requests/rate-limit-fields.js';
import { serializeList } from '../src/requests/structured-fields.js';
import { subnetOf } from '../src/requests/address.js';
import { combine, type LimitDecision } from '../src/decision.js';
import { by, type RateLimitContext } from '../src/index.js';

describe('the structured fields', () => {
  it.each([
    ['api', { q: 100, w: 60 }, '"api";q=100;w=60'],
    ['a"b\\c', {}, String.raw`"a\"b\\c"`],
    ['', { r: 0, t: undefined }, '"";r=0'],
    ['big', { q: 1e16 }, '"big";q=999999999999999'],
  ])('write %j', (value, parameters, written) => {
    expect(serializeList([{ value, parameters }])).toBe(written);
  });

  it("refuse what they can't hold", () => {
    expect(() => serializeList([{ value: 'a\r\nSet-Cookie: x', parameters: {} }])).toThrow(/ASCII/);
    expect(() => serializeList([{ value: 'ü', parameters: {} }])).toThrow(/ASCII/);
    expect(() => serializeList([{ value: 'a', parameters: { q: 1.5 } }])).toThrow(/whole/);
  });

  const row: LimitDecision = {
    name: 'api',
    kind: 'sliding-window',
    allowed: true,
    blocked: false,
    limit: 5,
    windowMs: 1_500,
    remaining: 2,
    retryAfterMs: 0,
    resetAfterMs: 1,
  };

  it('round times up, and leave out what has no end or was not counted', () => {
    const fields = (limit: LimitDecision, decidedBy: 'redis' | 'open' = 'redis') =>
      rateLimitFields([combine({ name: 'api', enforce: true }, [limit], decidedBy, undefined)]);
    expect(fields(row)).toEqual({ 'RateLimit-Policy': '"api";q=5;w=2', RateLimit: '"api";r=2;t=1' });
    expect(fields({ ...row, allowed: false, retryAfterMs: Infinity })).toMatchObject({ RateLimit: '"api";r=2' });
    expect(fields({ ...row, allowed: false, retryAfterMs: 2_001, resetAfterMs: 9_000 })).toMatchObject({
      RateLimit: '"api";r=2;t=3',
    });
    expect(fields(row, 'open')).toEqual({});
  });
});

describe('the address of a client', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:0201', '192.0.2.1'],
    ['64:ff9b::c000:201', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:0001:0002::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unix', 'unix'],
  ])('%s counts as %s', (ip, subnet) => {
    expect(subnetOf(ip)).toBe(subnet);
  });
});

describe('by', () => {
  const context = (parts: Partial<RateLimitContext>) =>
    ({ ip: undefined, user: undefined, request: {}, header: () => undefined, ...parts }) as RateLimitContext;

  it('takes the first identity there is, and never makes one up', async () => {
    const key = by.any(by.user(), by.header('X-Tenant'), by.ip());
    expect(key.wanted).toBe('user or header X-Tenant or ip');
    expect(await key(context({ user: { sub: 'ann' }, ip: '192.0.2.1' }))).toEqual(['user', 'ann']);
    expect(await key(context({ user: { name: 'x' }, ip: '192.0.2.1' }))).toEqual(['ip', '192.0.2.1']);
    expect(await key(context({ header: () => 'acme' }))).toEqual(['header', 'x-tenant', 'acme']);
    expect(await key(context({ user: { id: '' } }))).toBeUndefined();
    expect(await by.user(() => 7)(context({ user: {} }))).toEqual(['user', 7]);
  });
});
