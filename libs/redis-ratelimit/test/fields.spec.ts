import { legacyFields, rateLimitFields } from '../src/requests/rate-limit-fields.js';
import { serializeList } from '../src/requests/structured-fields.js';
import { answerHeaders, resolveHeaders } from '../src/requests/answer-headers.js';
import { subnetOf } from '../src/requests/address.js';
import { combine, type LimitDecision } from '../src/decision.js';
import {
  by,
  ipIn,
  RateLimitExceededError,
  userIn,
  type RateLimitContext,
  type RateLimitHeaderOptions,
} from '../src/index.js';

describe('the structured fields', () => {
  it.each([
    ['api', { q: 100, w: 60 }, '"api";q=100;w=60'],
    ['a"b\\c', {}, String.raw`"a\"b\\c"`],
    ['', { r: 0, t: undefined }, '"";r=0'],
    ['big', { q: 1e16 }, '"big";q=999999999999999'],
  ])('write %j', (value, parameters, written) => {
    expect(serializeList([{ value, parameters: Object.entries(parameters) }])).toBe(written);
  });

  it("refuse what they can't hold", () => {
    expect(() => serializeList([{ value: 'a\r\nSet-Cookie: x', parameters: [] }])).toThrow(/ASCII/);
    expect(() => serializeList([{ value: 'ü', parameters: [] }])).toThrow(/ASCII/);
    expect(() => serializeList([{ value: 'a', parameters: [['q', 1.5]] }])).toThrow(/whole/);
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

  it('give slots their unit and no window, and no time unless there is none left', () => {
    const slots: LimitDecision = { ...row, kind: 'concurrency', windowMs: 30_000, resetAfterMs: 20_000 };
    const fields = (limit: LimitDecision) =>
      rateLimitFields([combine({ name: 'api', enforce: true }, [limit], 'redis', undefined)]);
    expect(fields(slots)).toEqual({ 'RateLimit-Policy': '"api";q=5;qu="concurrent-requests"', RateLimit: '"api";r=2' });
    expect(fields({ ...slots, allowed: false, remaining: 0, retryAfterMs: 1_001 })).toMatchObject({
      RateLimit: '"api";r=0;t=2',
    });
  });

  it('tell nothing of a policy that does not enforce, and no time later than Retry-After', () => {
    const of = (name: string, parts: Partial<LimitDecision>, enforce = true) =>
      combine({ name, enforce }, [{ ...row, name, ...parts }], 'redis', undefined);
    const denied = of('b', { allowed: false, remaining: 0, retryAfterMs: 4_000, resetAfterMs: 9_000 });
    const both = [of('a', { resetAfterMs: 5_000 }), of('c', { resetAfterMs: 4_000 }), denied];
    expect(rateLimitFields(both).RateLimit).toBe('"a";r=2, "c";r=2;t=4, "b";r=0;t=4');
    expect(rateLimitFields([of('dark', { allowed: false, retryAfterMs: 4_000 }, false)])).toEqual({});
    expect(legacyFields([...both, of('dark', { remaining: 0 }, false)])).toEqual({
      'X-RateLimit-Limit': '5',
      'X-RateLimit-Remaining': '0',
      'X-RateLimit-Reset': '4',
    });
  });
});

describe('what scripts of other origins may read', () => {
  const counted = [
    {
      subject: 'k',
      cost: 1,
      decision: combine(
        { name: 'api', enforce: true },
        [
          {
            name: 'api',
            kind: 'sliding-window',
            allowed: true,
            blocked: false,
            limit: 5,
            windowMs: 60_000,
            remaining: 4,
            retryAfterMs: 0,
            resetAfterMs: 9_000,
          },
        ],
        'redis',
        undefined,
      ),
    },
  ];
  const exposed = (options: RateLimitHeaderOptions, existing: Record<string, unknown>) =>
    answerHeaders(counted, resolveHeaders(options, 'headers'), { get: (name) => existing[name] })[
      'Access-Control-Expose-Headers'
    ];
  const cors = { 'Access-Control-Allow-Origin': '*' };
  const both = 'RateLimit-Policy, RateLimit';

  it.each<[string, RateLimitHeaderOptions, Record<string, unknown>, string | undefined]>([
    ['nothing without CORS', {}, {}, undefined],
    ['the fields with it', {}, cors, both],
    ['the fields without it, when asked', { expose: 'always' }, {}, both],
    ['nothing with it, when asked', { expose: 'never' }, cors, undefined],
    ['nothing where all is exposed', {}, { ...cors, 'Access-Control-Expose-Headers': '*' }, undefined],
    ['nothing where there is nothing', { standard: false }, cors, undefined],
    [
      'what was exposed, once',
      {},
      { ...cors, 'Access-Control-Expose-Headers': ['ETag', 'ratelimit'] },
      'ETag, ratelimit, RateLimit-Policy',
    ],
  ])('is %s', (_, options, existing, expected) => {
    expect(exposed(options, existing)).toBe(expected);
  });
});

describe('a denial', () => {
  const decision = (parts: Partial<LimitDecision>) =>
    combine(
      { name: 'api', enforce: true },
      [
        {
          name: 'api',
          kind: 'sliding-window',
          allowed: false,
          blocked: false,
          limit: 5,
          windowMs: 60_000,
          remaining: 0,
          retryAfterMs: 1_500,
          resetAfterMs: 9_000,
          ...parts,
        },
      ],
      'redis',
      undefined,
    );

  it.each([
    ['a quota', {}, 429, 'quota-exceeded', '5 per 1m'],
    ['slots', { kind: 'concurrency' as const, windowMs: 30_000 }, 503, 'temporary-reduced-capacity', '5 at once'],
    ['a block', { blocked: true }, 429, 'abnormal-usage-detected', 'blocked'],
  ])('by %s says so', (_, parts, status, type, rule) => {
    const error = new RateLimitExceededError(decision(parts));
    expect(error.response).toMatchObject({
      status,
      type: `https://iana.org/assignments/http-problem-types#${type}`,
      detail: 'Try again in 2s.',
      retryAfterMs: 1_500,
      extensions: { 'violated-policies': ['api'] },
    });
    expect(error.message).toContain(rule);
  });

  it('by slots and a quota together is one by the quota', () => {
    const all = [decision({ kind: 'concurrency' }), decision({})] as const;
    expect(new RateLimitExceededError(all[0], { all }).response.status).toBe(429);
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
    ['64:ff9b:1::c000:201', '192.0.2.1'],
    ['64:ff9b:1:2::c000:201', '64:ff9b:1:2:0:0:c000:201/128'],
    ['64:ff9b:2::1', '64:ff9b:2:0::/64'],
  ])('%s counts as %s', (ip, subnet) => {
    expect(subnetOf(ip)).toBe(subnet);
  });

  it.each([
    [56, '2001:db8:1:1200::/56'],
    [48, '2001:db8:1::/48'],
    [60, '2001:db8:1:1230::/60'],
    [1, '0::/1'],
    [128, '2001:db8:1:1234:5:6:7:8/128'],
  ])('counts by a prefix of %i bits', (prefix, subnet) => {
    expect(subnetOf('2001:db8:1:1234:5:6:7:8', prefix)).toBe(subnet);
  });

  it.each([
    ['10.1.2.3', true],
    ['::ffff:10.1.2.3', true],
    ['11.1.2.3', false],
    ['192.0.2.7', true],
    ['192.0.2.8', false],
    ['2001:db8:ffff::1', true],
    ['2001:db9::1', false],
    ['198.51.100.9', true],
    ['unix', false],
    [undefined, false],
  ])('%s is in the networks: %s', (ip, inside) => {
    const match = ipIn('10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::ffff:198.51.100.0/120');
    expect(match({ ip } as RateLimitContext)).toBe(inside);
  });

  it.each(['', 'x', '10.0.0.0/33', '10.0.0.0/', '300.1.1.1', '2001:db8::/129'])('%j is no network', (network) => {
    expect(() => ipIn(network)).toThrow('ipIn');
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

  it('keeps the parts of a combination apart', async () => {
    const combined = (...parts: (string | string[])[]) =>
      by.all(
        () => parts[0],
        () => parts[1],
      )(context({}));
    expect(await combined('a', ['b', 'c'])).toEqual(['a', 'b:c']);
    expect(await combined(['a', 'b'], 'c')).toEqual(['a:b', 'c']);
    expect(await combined('a', '')).toBeUndefined();
    expect(by.all(by.user(), by.ip()).wanted).toBe('user and ip');
  });

  it('knows some users', () => {
    const match = userIn('ann', 7);
    const users = [{ id: 'ann' }, { sub: 7 }, { userId: '7' }, { id: 'bob' }, {}, undefined, null, 'ann'];
    expect(users.map((user) => match(context({ user })))).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
  });

  it.each([
    () => by.header(''),
    () => by.header('a b'),
    () => by.header('a\r\nb'),
    () => by.apiKey('ä'),
    () => by.ip({ ipv6Prefix: 0 }),
    () => by.ip({ ipv6Prefix: 129 }),
    () => by.ip(Object.fromEntries([['prefix', 64]])),
  ])('refuses what is no option: %s', (make) => {
    expect(make).toThrow(/by\.(header|apiKey|ip)/);
  });
});
