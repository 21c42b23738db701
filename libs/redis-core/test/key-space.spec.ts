import fc from 'fast-check';
import { hashSlot } from '../src/keys/hash-slot.js';
import { type Key, type KeyPart, KeySpace } from '../src/keys/key-space.js';
import { InvalidKeyError, OptionsError } from '../src/redis.errors.js';

const space = new KeySpace('shop');
const lockKey = (subject: Key) => space.tagged('lock', subject)();
const loneSurrogate = '\ud800';

describe('a key', () => {
  it.each<[Key, string]>([
    ['order:42', 'shop:lock:{order:42}'],
    [['order', 42], 'shop:lock:{order:42}'],
    [['a:b', 'c'], 'shop:lock:{a%3Ab:c}'],
    [['a', 'b:c'], 'shop:lock:{a:b%3Ac}'],
    ['a%3Ab', 'shop:lock:{a%253Ab}'],
    [42, 'shop:lock:{42}'],
    [-0, 'shop:lock:{0}'],
    [1.5, 'shop:lock:{1.5}'],
    [1e21, 'shop:lock:{1e+21}'],
    [12345678901234567890n, 'shop:lock:{12345678901234567890}'],
    ['{x}evil', 'shop:lock:{%7Bx%7Devil}'],
    ['{}', 'shop:lock:{%7B%7D}'],
    ['a\r\nSET x 1', 'shop:lock:{a%0D%0ASET x 1}'],
    ['\u0000\u007f\u0085', 'shop:lock:{%00%7F%C2%85}'],
    ['50 %', 'shop:lock:{50 %25}'],
    ['Zürich 🛫 "quoted"', 'shop:lock:{Zürich 🛫 "quoted"}'],
    [['search', ''], 'shop:lock:{search:}'],
    ['__proto__', 'shop:lock:{__proto__}'],
  ])('of %p is %s', (subject, key) => {
    expect(lockKey(subject)).toBe(key);
  });

  it('names its companions behind the same hash tag', () => {
    const at = space.tagged('lock', ['order', 42]);
    expect(at('fence')).toBe('shop:lock:{order:42}:fence');
    expect(hashSlot(at('fence'))).toBe(hashSlot(at()));
    expect(at('{other}')).toBe('shop:lock:{order:42}:%7Bother%7D');
  });

  it('without a subject has no hash tag', () => {
    expect(space.untagged('cache', 'invalidations')).toBe('shop:cache:invalidations');
    expect(space.untagged('cache', '{x}')).toBe('shop:cache:%7Bx%7D');
  });

  it('does not normalise: NFC, NFD and case stay different', () => {
    expect(lockKey('é')).not.toBe(lockKey('e\u0301'));
    expect(lockKey('A')).not.toBe(lockKey('a'));
  });
});

describe('what can not be a key', () => {
  it.each<[unknown, string]>([
    ['', 'A key must not be empty.'],
    [[], 'A key must not be empty, but it is an array without parts.'],
    [[''], 'A key must not be empty.'],
    [NaN, 'The key must be a string, a finite number or a bigint, or an array of those, but is NaN.'],
    [Infinity, 'but is Infinity.'],
    [undefined, 'The key must be a string, a finite number or a bigint, or an array of those, but is undefined.'],
    [null, 'but is null.'],
    [true, 'but is true.'],
    [{ id: 1 }, 'but is an object.'],
    [Symbol('x'), 'but is a symbol.'],
    [() => 'x', 'but is a function.'],
    [['user', undefined], "The key's part [1] must be a string, a finite number or a bigint, but is undefined."],
    [['user', ['a', 'b']], "The key's part [1] must be a string, a finite number or a bigint, but is an array."],
    [['user', NaN], 'but is NaN.'],
    [new Array(2), "The key's part [0] must be"],
    [`k${loneSurrogate}`, 'The key holds half of a character (a lone surrogate): "k\\ud800".'],
    [['user', `k${loneSurrogate}`], "The key's part [1] holds half of a character"],
    [`\udc00\ud800`, 'half of a character'],
  ])('refuses %p', (subject, message) => {
    const build = () => lockKey(subject as Key);
    expect(build).toThrow(InvalidKeyError);
    expect(build).toThrow(message);
  });
});

describe('a subject of more than 1 KB', () => {
  it('is written out up to 1024 bytes and hashed beyond', () => {
    expect(lockKey('x'.repeat(1024))).toBe(`shop:lock:{${'x'.repeat(1024)}}`);
    expect(lockKey('x'.repeat(1025))).toMatch(/^shop:lock:\{x{64}%#[0-9a-f]{64}\}$/);
    expect(lockKey('ü'.repeat(512))).toBe(`shop:lock:{${'ü'.repeat(512)}}`);
    expect(lockKey('ü'.repeat(513))).toMatch(/^shop:lock:\{ü{64}%#[0-9a-f]{64}\}$/);
  });

  it('keeps different subjects apart, and the same one together however it is written', () => {
    expect(lockKey('x'.repeat(2000) + 'a')).not.toBe(lockKey('x'.repeat(2000) + 'b'));
    expect(lockKey(['user', 'x'.repeat(2000)])).toBe(lockKey(`user:${'x'.repeat(2000)}`));
  });

  it('can not be forged by a short subject', () => {
    const shortened = /\{(.*)\}/.exec(lockKey('x'.repeat(2000)))?.[1] ?? '';
    expect(shortened).toContain('%#');
    expect(lockKey(shortened)).not.toBe(lockKey('x'.repeat(2000)));
  });

  it('is cut between characters, never inside an escape or a pair', () => {
    for (let lead = 0; lead < 70; lead++) {
      const pairs = lockKey('x'.repeat(lead) + '🛫'.repeat(1000));
      expect(Buffer.from(pairs).toString()).toBe(pairs);
      expect(lockKey('x'.repeat(lead) + '}'.repeat(1000))).toMatch(/\{x*(%7D)*%#[0-9a-f]{64}\}$/);
    }
  });
});

describe('a namespace', () => {
  it.each(['shop', 'shop:prod', 'acme-eu.1', 'größe'])('may be %s', (namespace) => {
    expect(new KeySpace(namespace).untagged('a', 'b')).toBe(`${namespace}:a:b`);
  });

  it.each([
    '',
    'a b',
    'a{b}',
    'a}',
    'a*',
    'a?',
    'a[b]',
    'a\\',
    'a\n',
    'a\u0000',
    'a%41',
    '^a',
    loneSurrogate,
    'x'.repeat(129),
    undefined,
    null,
    7,
  ])('may not be %p', (namespace) => {
    const build = () => new KeySpace(namespace as string);
    expect(build).toThrow(OptionsError);
    expect(build).toThrow(/^namespace: /);
  });
});

describe('of all keys it holds that', () => {
  const nasty = fc.constantFrom(
    ':',
    '%',
    '{',
    '}',
    '%3A',
    '%25',
    '%7B',
    '%#',
    '\n',
    '\u0000',
    '\u009f',
    'a',
    '1',
    'é',
    '🛫',
  );
  const text = fc.oneof(
    fc.array(nasty, { maxLength: 6 }).map((parts) => parts.join('')),
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.string({ unit: 'binary', maxLength: 20 }),
  );
  const part: fc.Arbitrary<KeyPart> = fc.oneof(
    { weight: 4, arbitrary: text },
    { weight: 1, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
    { weight: 1, arbitrary: fc.bigInt() },
  );
  const usable = (subject: Key) => (Array.isArray(subject) ? subject.map(String).join(':') : String(subject)) !== '';
  const parts = fc.array(part, { minLength: 1, maxLength: 4 }).filter(usable);
  const subject: fc.Arbitrary<Key> = fc.oneof(part, parts).filter(usable);
  const runs = { numRuns: 2_000 };

  it('they have exactly one hash tag and no control character', () => {
    fc.assert(
      fc.property(subject, text, (about, name) => {
        const key = space.tagged('lock', about)(name);
        expect(key.match(/[{}]/g)).toEqual(['{', '}']);
        expect(key).toMatch(/^shop:lock:\{[^{}]+\}:/);
        expect(key).not.toMatch(/\p{Cc}/u);
      }),
      runs,
    );
  });

  it('arrays meet only when their parts read the same', () => {
    fc.assert(
      fc.property(parts, parts, (one, other) => {
        const same = JSON.stringify(one.map(String)) === JSON.stringify(other.map(String));
        expect(lockKey(one) === lockKey(other)).toBe(same);
      }),
      runs,
    );
  });

  it('strings meet only when they are equal', () => {
    fc.assert(
      fc.property(text.filter(usable), text.filter(usable), (one, other) => {
        expect(lockKey(one) === lockKey(other)).toBe(one === other);
      }),
      runs,
    );
  });

  it('a string meets exactly the array of its parts between colons', () => {
    fc.assert(
      fc.property(text.filter(usable), (whole) => {
        expect(lockKey(whole.split(':'))).toBe(lockKey(whole));
      }),
      runs,
    );
    fc.assert(
      fc.property(text.filter(usable), parts, (whole, pieces) => {
        const same = JSON.stringify(whole.split(':')) === JSON.stringify(pieces.map(String));
        expect(lockKey(whole) === lockKey(pieces)).toBe(same);
      }),
      runs,
    );
  });

  it('the subject can be read back from its text', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 4 }).filter(usable), (pieces) => {
        const inTag = lockKey(pieces).slice('shop:lock:{'.length, -1);
        fc.pre(!inTag.includes('%#'));
        expect(inTag.split(':').map(decodeURIComponent)).toEqual(pieces);
      }),
      runs,
    );
  });
});

describe('hashSlot', () => {
  it.each([
    ['123456789', 0x31c3],
    ['', 0],
    ['foo', 12182],
    ['{foo}.bar', 12182],
    ['foo{}{bar}', 8363],
    ['foo{{bar}}zap', 4015],
    ['foo{bar}{zap}', 5061],
    ['user1000', 3443],
    ['{user1000}.following', 3443],
    ['lock:{x}evil', 16287],
  ])('of %s is %d', (key, slot) => {
    expect(hashSlot(key)).toBe(slot & 0x3fff);
  });

  it('takes an empty tag and an unclosed brace as plain text', () => {
    expect(hashSlot('{}foo}')).not.toBe(hashSlot('foo'));
    expect(hashSlot('{foo')).not.toBe(hashSlot('foo'));
    expect(hashSlot('}{foo}')).toBe(hashSlot('foo'));
  });

  it('counts bytes of UTF-8, not characters', () => {
    expect(hashSlot('{ü}')).toBe(hashSlot('x{ü}y'));
    expect(hashSlot('a🛫')).not.toBe(hashSlot('a?'));
  });
});
