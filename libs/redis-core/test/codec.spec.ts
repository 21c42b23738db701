import { Readable } from 'node:stream';
import { inspect, isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { createCodec } from '../src/codec/codec.js';
import { CorruptValueError, OptionsError, UnsupportedValueError } from '../src/redis.errors.js';

const codec = createCodec();
const roundTrip = (value: unknown) => codec.decode(codec.encode(value));
const text = (value: unknown) => codec.encode(value).toString();
/** The same to the last bit: by kind and content, so that 1 and 1n, -0 and 0, a Buffer and a Uint8Array differ. */
const expectSame = (result: unknown, original: unknown) => {
  const shown = (value: unknown) => inspect(value, { depth: 20, maxArrayLength: null, maxStringLength: null });
  expect(shown(result)).toBe(shown(original));
  // Node holds no two invalid dates for equal.
  if (!shown(original).includes('Invalid Date')) expect(isDeepStrictEqual(result, original)).toBe(true);
};
const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
const deepJson = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

class Money {
  readonly #secret = 'CANARY';
  constructor(
    readonly amount: number,
    readonly currency: string,
  ) {}
  reveal(): string {
    return this.#secret;
  }
}

describe('a value that JSON can say', () => {
  it.each([
    [{ id: 1, tags: ['a', 'b'], ok: true, none: null, price: -1.5e-7 }],
    ['text'],
    [''],
    [0],
    [null],
    [false],
    [[]],
    [{}],
    ['\u0001 "quoted" \u2028 🛫 \ud800'],
    [{ $date: 5 }],
    [{ $: 1 }],
    [{ constructor: 1, prototype: { polluted: true }, toString: 'x', hasOwnProperty: 1 }],
    [Number.MAX_SAFE_INTEGER],
  ])('is plain JSON: %j', (value) => {
    expect(text(value)).toBe(JSON.stringify(value));
    expect(isDeepStrictEqual(roundTrip(value), value)).toBe(true);
  });

  it('is also what another program wrote, spaces and escapes included', () => {
    expect(codec.decode(Buffer.from(' {"a" : [1, "\\u00e9\\/"]}\n'))).toEqual({ a: [1, 'é/'] });
  });
});

describe('a value beyond JSON', () => {
  it.each([
    [undefined],
    [NaN],
    [Infinity],
    [-Infinity],
    [-0],
    [123456789012345678901234567890n],
    [-1n],
    [new Date('2026-11-21T10:00:00.123Z')],
    [new Date(NaN)],
    [new Date(8.64e15)],
    [new Map<unknown, unknown>([[{ id: 1 }, new Map([[NaN, undefined]])]])],
    [new Map([['__proto__', 1]])],
    [new Set<unknown>([1, '1', [new Date(0)], undefined])],
    [new Set()],
    [Buffer.from('bytes \u0000')],
    [Buffer.alloc(0)],
    [new Uint8Array([1, 2, 3])],
    [new Uint8Array([0, 1, 2, 3, 4]).subarray(1, 4)],
    [new Float64Array([1.5, NaN, -0])],
    [new BigInt64Array([-1n])],
    [new Uint16Array([1, 65535])],
    [new ArrayBuffer(3)],
    [new DataView(new Uint8Array([1, 2, 3]).buffer)],
    [{ a: undefined, b: [undefined, null], c: { d: undefined } }],
    [{ when: new Date(0), $date: 5 }],
    [[new Date(0), { $date: 5 }, { $$date: 5 }, { $: 1 }, { $unknown: { $map: [] } }]],
    [{ deep: [{ big: [1n, { n: -0 }] }] }],
  ])('comes back as it was: %p', (value) => {
    expectSame(roundTrip(value), value);
    expect(codec.encode(value)[0]).toBe(1);
  });

  it('comes back as its own copy, not as a view of the stored bytes', () => {
    const encoded = codec.encode({ bytes: new Uint32Array([1, 2]) });
    const decoded = codec.decode(encoded);
    encoded.fill(0);
    expect(decoded).toEqual({ bytes: new Uint32Array([1, 2]) });
  });

  it('a hole of an array comes back as undefined, and an endless one is refused at once', () => {
    expect(roundTrip(Object.assign(new Array(3), { 0: 1, 2: 3 }))).toEqual([1, undefined, 3]);
    expect(() => codec.encode(new Array(4_294_967_295))).toThrow('value takes more than 524288 bytes');
  });

  it('otherwise follows JSON.stringify', () => {
    expect(roundTrip(new Money(5, 'CHF'))).toEqual({ amount: 5, currency: 'CHF' });
    expect(text(new Money(5, 'CHF'))).toBe('{"amount":5,"currency":"CHF"}');
    expect(roundTrip({ at: { toJSON: (key: string) => `json of ${key}` } })).toEqual({ at: 'json of at' });
    expect(roundTrip({ url: new URL('https://example.com/x') })).toEqual({ url: 'https://example.com/x' });
    expect(roundTrip({ toJSON: () => ({ at: new Date(0) }) })).toEqual({ at: new Date(0) });
    expect(roundTrip({ toJSON: () => undefined })).toBeUndefined();
    expect(roundTrip([Object(1), Object('x'), Object(false), Object(2n)])).toEqual([1, 'x', false, 2n]);
    expect(roundTrip({ [Symbol('hidden')]: 1, shown: 2 })).toEqual({ shown: 2 });
    expect(roundTrip(Object.assign(Object.create(null) as object, { a: 1 }))).toEqual({ a: 1 });
    const shared = { a: 1 };
    expect(roundTrip([shared, shared])).toEqual([shared, shared]);
  });

  it('a toJSON that returns its own object is asked once', () => {
    const self = {
      value: 1,
      toJSON() {
        return { value: 2, toJSON: undefined };
      },
    };
    expect(roundTrip(self)).toEqual({ value: 2, toJSON: undefined });
  });
});

describe('what can not come back is refused with its path', () => {
  const cycle: Record<string, unknown> = { items: [1] };
  cycle['items'] = [1, { back: cycle }];
  const selfMap = new Map<string, unknown>();
  selfMap.set('self', selfMap);

  it.each<[unknown, string]>([
    [() => 'CANARY', 'value is a function'],
    [{ items: [1, 2, 3, { callback: () => 'CANARY' }] }, 'value.items[3].callback is a function'],
    [{ a: Symbol('CANARY') }, 'value.a is a symbol'],
    [{ 'odd key\n': [() => 1] }, 'value["odd key\\n"][0] is a function'],
    [new Map([['k', { f: () => 1 }]]), 'value<value 0>.f is a function'],
    [new Map([[() => 1, 1]]), 'value<key 0> is a function'],
    [{ s: new Set([1, () => 1]) }, 'value.s[1] is a function'],
    [cycle, 'value.items[1].back contains itself (a cycle)'],
    [selfMap, 'value<value 0> contains itself (a cycle)'],
    [{ user: Promise.resolve('CANARY') }, 'value.user is a promise (is an await missing?)'],
    [{ error: new Error('CANARY') }, 'value.error is a native error'],
    [[/CANARY/], 'value[0] is a regular expression'],
    [{ w: new WeakMap() }, 'value.w is a weak collection'],
    [
      (function* () {
        yield 1;
      })(),
      'value is a generator or iterator',
    ],
    [[1].values(), 'value is a generator or iterator'],
    [{ body: Readable.from(['CANARY']) }, 'value.body is a stream or asynchronous iterator'],
    [new SharedArrayBuffer(1), 'value is a shared buffer'],
    [JSON.parse('{"a":{"__proto__":{"polluted":true}}}'), 'value.a.__proto__ can\'t be stored: a "__proto__" key'],
    [nested(101), `is nested deeper than 100 levels (maxDepth)`],
    [{ big: 'x'.repeat(600_000) }, 'value takes more than 524288 bytes when encoded (maxBytes)'],
    ['ü'.repeat(262_144), 'value takes more than 524288 bytes'],
    [{ big: Buffer.alloc(500_000) }, 'value takes more than 524288 bytes'],
  ])('%#: %s', (value, message) => {
    const encode = () => codec.encode(value);
    expect(encode).toThrow(UnsupportedValueError);
    expect(encode).toThrow(message);
    expect(encode).not.toThrow('CANARY');
  });

  it('a long path is cut in the middle', () => {
    let value: unknown = () => 1;
    for (let i = 0; i < 90; i++) value = { [`level${i}`]: value };
    expect(() => codec.encode(value)).toThrow(/^value\.level89.{150,200}\.level1\.level0 is a function/);
  });

  it('a value whose parts refer to each other over and over ends in time', () => {
    let value: unknown = [];
    for (let i = 0; i < 90; i++) value = [value, value];
    expect(() => codec.encode(value)).toThrow('value takes more than 524288 bytes');
    expect(() => codec.encode({ value, at: new Date() })).toThrow('value takes more than 524288 bytes');
  });

  it('an error of a getter or a toJSON passes through', () => {
    const failing = {
      toJSON: () => {
        throw new RangeError('mine');
      },
    };
    expect(() => codec.encode(failing)).toThrow(new RangeError('mine'));
  });

  it('a deep value is allowed up to the limit, on the way back too', () => {
    expect(roundTrip(nested(100))).toEqual(nested(100));
    const special = { at: new Date(0), deep: nested(99) };
    expect(roundTrip(special)).toEqual(special);
    expect(roundTrip(new Map([[1, nested(99)]]))).toEqual(new Map([[1, nested(99)]]));
    expect(() => codec.encode({ at: new Date(0), deep: nested(100) })).toThrow('nested deeper than 100 levels');
  });
});

describe('bytes that this codec does not write', () => {
  const tagged = (json: string) => Buffer.from(`\u0001${json}`);

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['only the marker', Buffer.from([1])],
    ['cut JSON', Buffer.from('{"id":1,"na')],
    ['cut tagged JSON', codec.encode({ at: new Date(0) }).subarray(0, -3)],
    ['two values', Buffer.from('{}{}')],
    ['a byte order mark', Buffer.from('\ufeff{}')],
    ['UTF-16', Buffer.from('{"a":1}', 'utf16le')],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['a cut character', Buffer.from([0x22, 0xc3, 0x22])],
    ['binary', Buffer.from([0x82, 0xa1, 0x61, 0x01])],
    ['another marker', Buffer.from('\u0002{}')],
    ['too many bytes', Buffer.from(`"${'x'.repeat(524_288)}"`)],
    ['too deep', Buffer.from(deepJson(101))],
    ['far too deep', Buffer.from(deepJson(200_000))],
    ['too deep behind wide', Buffer.from(`[${'[],'.repeat(200)}${deepJson(100)}]`)],
    ['too deep with tags', tagged(`{"$set":[${deepJson(100)}]}`)],
    ['a __proto__', Buffer.from('{"__proto__":{"polluted":true}}')],
    ['a nested __proto__', Buffer.from('[{"a":{"__proto__":1}}]')],
    ['an escaped __proto__', Buffer.from('{"\\u005f_proto\\u005F\\u005f":{"polluted":true}}')],
    ['a __proto__ among tags', tagged('{"a":1,"__proto__":{"polluted":true}}')],
    ['only a __proto__ among tags', tagged('{"__proto__":{"polluted":true}}')],
    ['an unknown tag', tagged('{"$regexp":"x"}')],
    ['the tag of an inherited name', tagged('{"$constructor":"AA=="}')],
    ['a bad date', tagged('{"$date":"now"}')],
    ['a date that no Date reaches', tagged('{"$date":1e300}')],
    ['a bad number', tagged('{"$number":"1"}')],
    ['a bad bigint', tagged('{"$bigint":"1e3"}')],
    ['a bigint that is none', tagged('{"$bigint":5}')],
    ['a bad map', tagged('{"$map":[[1]]}')],
    ['a map that is none', tagged('{"$map":{"a":1}}')],
    ['a bad set', tagged('{"$set":{"length":5}}')],
    ['bad base64', tagged('{"$Buffer":"not base64!"}')],
    ['bytes that do not fill an element', tagged('{"$Float64Array":"AAAA"}')],
  ])('are refused: %s', (_what, bytes) => {
    const decode = () => codec.decode(bytes);
    expect(decode).toThrow(CorruptValueError);
    expect(decode).not.toThrow(/polluted|now|1e3/);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });

  it('a text that only mentions __proto__ is fine', () => {
    const value = { note: 'never merge "__proto__" \\u005f', list: ['__proto__'] };
    expect(roundTrip(value)).toEqual(value);
    expect(roundTrip({ ...value, at: new Date(0) })).toEqual({ ...value, at: new Date(0) });
  });

  it('never crash it, and never pollute', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (bytes, marked) => {
        const input = marked ? Buffer.concat([Buffer.from([1]), bytes]) : Buffer.from(bytes);
        try {
          codec.decode(input);
        } catch (error) {
          expect(error).toBeInstanceOf(CorruptValueError);
        }
        expect(Reflect.get({}, 'polluted')).toBeUndefined();
      }),
      { numRuns: 2_000 },
    );
  });

  it('truncation of anything is refused or changes nothing but a number', () => {
    fc.assert(
      fc.property(fc.anything({ withDate: true, withMap: true, withSet: true }), fc.nat(), (value, at) => {
        let encoded: Buffer;
        try {
          encoded = codec.encode(value);
        } catch {
          return;
        }
        fc.pre(encoded.length > 1 && !/^-?\d/.test(encoded.toString()));
        expect(() => codec.decode(encoded.subarray(0, at % encoded.length))).toThrow(CorruptValueError);
      }),
    );
  });
});

describe('of all values it holds that', () => {
  const key = fc
    .oneof(
      fc.string({ unit: 'grapheme', maxLength: 8 }),
      fc.constantFrom(
        '$',
        '$$',
        '$date',
        '$map',
        '$$date',
        '$undefined',
        'constructor',
        'toString',
        'prototype',
        '0',
        '-1',
      ),
    )
    .filter((name) => name !== '__proto__' && name !== 'toJSON');
  const leaf = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.bigInt(),
    fc.constantFrom(null, undefined, -0, NaN),
    fc.date({ noInvalidDate: false }),
    fc.uint8Array(),
    fc.float64Array(),
    fc.bigUint64Array(),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.uint8Array().map((bytes) => new Uint8Array(bytes).buffer),
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 5, withCrossShrink: true }, leaf, tie('array'), tie('object'), tie('map'), tie('set')),
    array: fc.array(tie('value'), { maxLength: 5 }),
    object: fc.dictionary(key, tie('value'), { maxKeys: 5, noNullPrototype: true }),
    map: fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 4 }).map((entries) => new Map(entries)),
    set: fc.array(tie('value'), { maxLength: 4 }).map((items) => new Set(items)),
  }));

  it('they come back as they were', () => {
    fc.assert(
      fc.property(value, (original) => {
        expectSame(roundTrip(original), original);
      }),
      { numRuns: 2_000 },
    );
  });

  it('JSON values are written as JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (original) => {
        fc.pre(!JSON.stringify(original).includes('__proto__') && !inspect(original, { depth: 20 }).includes('-0'));
        expect(text(original)).toBe(JSON.stringify(original));
        expect(isDeepStrictEqual(roundTrip(original), JSON.parse(JSON.stringify(original)))).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  it('what is written is valid UTF-8 and starts with the marker exactly when it is not JSON', () => {
    fc.assert(
      fc.property(value, (original) => {
        const encoded = codec.encode(original);
        expect(Buffer.from(encoded.toString()).equals(encoded)).toBe(true);
        const isJson = () => {
          JSON.parse(encoded.toString());
        };
        if (encoded[0] === 1) expect(isJson).toThrow(SyntaxError);
        else expect(isJson).not.toThrow();
      }),
    );
  });
});

describe('the limits', () => {
  it('can be set', () => {
    const small = createCodec({ maxDepth: 1, maxBytes: 20 });
    expect(small.decode(small.encode({ a: 1 }))).toEqual({ a: 1 });
    expect(() => small.encode({ a: {} })).toThrow('value.a is nested deeper than 1 levels');
    expect(() => small.encode('x'.repeat(19))).toThrow('value takes more than 20 bytes');
    expect(small.encode('x'.repeat(18))).toHaveLength(20);
    expect(() => small.decode(Buffer.from('{"a":{}}'))).toThrow(CorruptValueError);
  });

  it.each([{ maxDepth: 0 }, { maxDepth: 1.5 }, { maxBytes: NaN }, { maxBytes: -1 }, { maxBytes: 2 ** 40 }])(
    'are checked: %p',
    (options) => {
      expect(() => createCodec(options)).toThrow(OptionsError);
    },
  );
});
