import fc from 'fast-check';
import { parse } from 'node:querystring';
import { inspect } from 'node:util';
import { parseDirectives, secondsOf } from '../src/http/directives.js';
import { requestKey, type CachedRequest } from '../src/http/request-key.js';
import { entityTag, isNotModified } from '../src/http/validators.js';
import { encodeSubject, type Key } from '@redstart/redis-core';

describe('Cache-Control', () => {
  it('is read with its quirks', () => {
    const directives = parseDirectives(' Max-Age=60 ,private="set-cookie, x-a" ,, no-store,ext="a\\"b",s-maxage = "5"');
    expect([...directives]).toEqual([
      ['max-age', '60'],
      ['private', 'set-cookie, x-a'],
      ['no-store', undefined],
      ['ext', 'a"b'],
      ['s-maxage', '5'],
    ]);
    expect(secondsOf(directives, 'max-age')).toBe(60);
    expect(secondsOf(directives, 's-maxage')).toBe(5);
    expect(secondsOf(directives, 'min-fresh')).toBeUndefined();
    expect(parseDirectives(undefined).size).toBe(0);
  });

  it.each(['-1', '1.5', 'soon', '', '1e9'])('takes max-age=%s for stale', (text) => {
    expect(secondsOf(parseDirectives(`max-age=${text}`), 'max-age')).toBe(0);
  });

  it('bounds what is too large, and takes the first of two', () => {
    expect(secondsOf(parseDirectives('max-age=99999999999999999999'), 'max-age')).toBe(2 ** 31);
    expect(secondsOf(parseDirectives('max-age=1, max-age=100'), 'max-age')).toBe(1);
  });
});

describe('validators', () => {
  it('compare weakly, and know a tag with a comma', () => {
    const known = (header: string) => isNotModified({ 'if-none-match': header }, 'W/"a,b"', undefined);
    expect(known('"x", W/"a,b"')).toBe(true);
    expect(known('"a,b"')).toBe(true);
    expect(known('"a", "b"')).toBe(false);
    expect(known('a,b')).toBe(false);
    expect(known(' * ')).toBe(true);
    expect(isNotModified({ 'if-none-match': '"a"' }, undefined, undefined)).toBe(false);
  });

  it('tell bodies and types apart', () => {
    const tags = [
      entityTag('a', 'text/plain', 'weak'),
      entityTag('a', 'text/html', 'weak'),
      entityTag('b', 'text/plain', 'weak'),
      entityTag('a', 'text/plain', 'strong'),
      entityTag('', '', 'weak'),
    ];
    expect(new Set(tags).size).toBe(tags.length);
    expect(entityTag(Buffer.from('a'), 'text/plain', 'weak')).toBe(tags[0]);
  });

  it('take a date that is none for no condition', () => {
    const date = 'Sat, 21 Nov 2026 10:00:00 GMT';
    const since = (value: string, modified: string | undefined = date) =>
      isNotModified({ 'if-modified-since': value }, '"a"', modified);
    expect(since(date)).toBe(true);
    expect(since('0')).toBe(false);
    expect(since('2027')).toBe(false);
    expect(isNotModified({ 'if-modified-since': date }, '"a"', undefined)).toBe(false);
  });
});

describe('the key of a request', () => {
  const request = fc.record({
    path: fc.webPath(),
    query: fc.webQueryParameters(),
    host: fc.constantFrom('a.example', 'b.example', 'a.example:8080'),
    protocol: fc.constantFrom('http', 'https'),
    language: fc.option(fc.constantFrom('de', 'en', 'de,en', ''), { nil: undefined }),
    tenant: fc.option(fc.constantFrom('a', 'b', 'a:b'), { nil: undefined }),
    identity: fc.option(
      fc.oneof(fc.string({ minLength: 1, unit: 'grapheme-ascii' }), fc.tuple(fc.string(), fc.nat())),
      { nil: undefined },
    ),
  });
  const vary = ['accept-language', 'x-tenant'];

  const keyOf = ({
    path,
    query,
    host,
    protocol,
    language,
    tenant,
    identity,
  }: Parameters<Parameters<typeof request.map>[0]>[0]) => {
    const headers = {
      ...(language === undefined ? {} : { 'accept-language': language }),
      ...(tenant === undefined ? {} : { 'x-tenant': tenant }),
    };
    const asked: CachedRequest = { method: 'GET', url: `${path}?${query}`, host, protocol, headers };
    const key: Key = requestKey(['Flights', 'find'], asked, { vary, query: undefined }, identity);
    return encodeSubject(key);
  };

  const fields = ['path', 'query', 'host', 'protocol', 'language', 'tenant', 'identity'] as const;

  it('is one only for requests that are one', () => {
    fc.assert(
      fc.property(request, request, fc.subarray([...fields]), (one, another, differing) => {
        // Most of them differ in few things.
        const other = { ...one, ...Object.fromEntries(differing.map((field) => [field, another[field]])) };
        const told = (of: typeof one) =>
          JSON.stringify([of.path, of.query, of.host, of.protocol, of.language ?? null, of.tenant ?? null]) +
          (of.identity === undefined ? '' : ` ${encodeSubject(of.identity)}`);
        expect(keyOf(one) === keyOf(other)).toBe(told(one) === told(other));
      }),
    );
  });

  it('knows which header a value is of, and none from an empty one', () => {
    const of = (headers: CachedRequest['headers']) =>
      encodeSubject(
        requestKey(['F', 'f'], { method: 'GET', url: '/', headers }, { vary, query: undefined }, undefined),
      );
    const keys = [{ 'accept-language': 'de' }, { 'x-tenant': 'de' }, { 'x-tenant': '' }, {}].map(of);
    expect(new Set(keys).size).toBe(keys.length);
    expect(of({ 'accept-language': ' de ' })).toBe(keys[0]);
  });

  const readBy = (query: unknown, url = '/x') =>
    encodeSubject(
      requestKey(['F', 'f'], { method: 'GET', url, headers: {}, query }, { vary: [], query: ['a', 'b'] }, undefined),
    );

  it('takes the parameters that count in any order, and what is of one of them in its own', () => {
    const of = (query: string) => readBy(parse(query), `/x?${query}`);
    expect(of('b=2&a=1&c=3')).toBe(of('a=1&b=2'));
    expect(of('a=1&a=2')).not.toBe(of('a=2&a=1'));
    expect(of('a=1%26b=2')).not.toBe(of('a=1&b=2'));
    expect(of('')).toBe(of('c=1'));
    expect(of('a=1?b')).not.toBe(of('a=1'));
    // As parsers leave them that do not nest.
    for (const name of ['a[owner]', 'a%5Bowner%5D', 'a[]', 'a.owner']) {
      expect(of(`${name}=1`)).not.toBe(of(`${name}=2`));
    }
    expect(of('a[x]=1&a[y]=1')).not.toBe(of('a[y]=1&a[x]=1'));
    expect(of('ab=1')).toBe(of('ab=2'));
  });

  it('goes by the whole URL where it can not tell all that a parser has read', () => {
    const unheard = [undefined, null, new URLSearchParams('a=1'), { a: new Date(0) }, { a: [1n] }, { a: Infinity }];
    for (const query of [...unheard, { a: new Array(1) }, { a: { b: new Map() } }, { a: undefined }, 'a=1']) {
      expect(readBy(query, '/x?a=1')).not.toBe(readBy(query, '/x?a=2'));
      expect(readBy(query, '/x?c=1')).not.toBe(readBy(query, '/x?c=2'));
    }
  });

  it('is one only for what parsers read alike', () => {
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 3, withCrossShrink: true },
        fc.constantFrom('', '1', 'a', 'null', '["1"]', '\ud800', '\ufffd'),
        fc.constantFrom(null, true, 1, 0, 1.5),
        fc.array(tie('value'), { maxLength: 2 }),
        fc.dictionary(fc.constantFrom('a', 'b', '0', '__proto__'), tie('value'), { maxKeys: 2, noNullPrototype: true }),
      ),
    }));
    // Objects of one kind: a prototype shows in `inspect`, and makes no other value.
    const names = fc.constantFrom('a', 'b', 'a[x]', 'b.x', 'c');
    const query = fc.dictionary(names, value, { maxKeys: 3, noNullPrototype: true });
    /** Their order, too, within each of the parameters that count. */
    const read = (of: object) =>
      ['a', 'b'].map((name) =>
        inspect(
          Object.entries(of).filter(([key]) => key.startsWith(name)),
          { depth: null },
        ),
      );
    fc.assert(
      fc.property(query, query, (one, another) => {
        expect(readBy(one) === readBy(another)).toBe(read(one).join() === read(another).join());
      }),
      { numRuns: 1000 },
    );
  });
});
