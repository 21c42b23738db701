import { randomBytes } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { createCodec } from '../src/codec/codec.js';
import { createCompression } from '../src/codec/compression.js';
import { CorruptValueError, OptionsError } from '../src/redis.errors.js';

const compression = createCompression();
const json = (length: number) => Buffer.from(JSON.stringify('flight '.repeat(length).slice(0, length - 2)));
const header = (method: number, length: number) => {
  const bytes = Buffer.from([0xc1, method, 0, 0, 0, 0]);
  bytes.writeUInt32BE(length, 2);
  return bytes;
};
const forged = (length: number, content: Buffer) => Buffer.concat([header(1, length), content]);

describe('packing', () => {
  it('leaves bytes below the threshold alone, synchronously and without a copy', () => {
    const bytes = json(1023);
    expect(compression.pack(bytes)).toBe(bytes);
    expect(compression.unpack(bytes)).toBe(bytes);
  });

  it('makes larger ones smaller, and unpacking gives them back', async () => {
    const bytes = json(10_000);
    const packed = await compression.pack(bytes);
    expect(packed.length).toBeLessThan(500);
    expect(packed[0]).toBe(0xc1);
    expect(await compression.unpack(packed)).toEqual(bytes);
  });

  it('says how long they will be, without unpacking', async () => {
    for (const bytes of [Buffer.alloc(0), json(10), json(10_000), Buffer.from([0xc1, 1])]) {
      expect(compression.unpackedBytes(bytes)).toBe(bytes.length);
    }
    expect(compression.unpackedBytes(await compression.pack(json(10_000)))).toBe(10_000);
  });

  it('leaves bytes alone that would not get smaller', async () => {
    const bytes = Buffer.concat([Buffer.from('"'), randomBytes(5_000)]);
    expect(await compression.pack(bytes)).toBe(bytes);
  });

  it('never mistakes the bytes of a foreign codec for its own', async () => {
    for (const length of [1, 6, 1_000, 5_000]) {
      const bytes = randomBytes(length);
      bytes[0] = 0xc1;
      const packed = await compression.pack(bytes);
      expect(await compression.unpack(packed)).toEqual(bytes);
    }
  });

  it('starts with what neither JSON nor the codec starts with', () => {
    const codec = createCodec();
    for (const value of [1, 'x', {}, [], null, true, undefined, new Date(0)]) {
      expect(codec.encode(value)[0]).not.toBe(0xc1);
    }
  });

  it('of anything gives it back', async () => {
    const eager = createCompression({ threshold: 0 });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.nat(50), async (piece, times) => {
        const bytes = Buffer.concat(Array.from({ length: times }, () => piece));
        const packed = await eager.pack(bytes);
        expect(packed.length).toBeLessThanOrEqual(bytes.length + 6);
        expect(Buffer.from(await eager.unpack(packed)).equals(bytes)).toBe(true);
      }),
    );
  });
});

describe('unpacking refuses', () => {
  const bomb = deflateSync(Buffer.alloc(100_000_000));
  const content = deflateSync(json(2_000));

  it.each<[string, Buffer]>([
    ['only a marker', Buffer.from([0xc1])],
    ['a cut header', header(1, 2_000).subarray(0, 5)],
    ['no content', header(1, 2_000)],
    ['a cut content', forged(2_000, content.subarray(0, -5))],
    ['a content shorter than it says', forged(2_001, content)],
    ['a content longer than it says', forged(1_999, content)],
    ['a length of nothing', forged(0, content)],
    ['garbage', forged(2_000, randomBytes(200))],
    [
      'a changed byte',
      forged(2_000, Buffer.from(content.map((byte, i) => (i === content.length - 1 ? byte ^ 1 : byte)))),
    ],
    ['an unknown method', Buffer.concat([header(9, 2_000), content])],
    ['a stored length that differs', Buffer.concat([header(0, 3), Buffer.from('ab')])],
    ['a bomb that tells its size', forged(100_000_000, bomb)],
    ['a bomb that lies about its size', forged(1_000, bomb)],
  ])('%s', async (_what, bytes) => {
    const unpack = async () => await compression.unpack(bytes);
    await expect(unpack()).rejects.toThrow(CorruptValueError);
  });

  it('a bomb without inflating it', async () => {
    const before = process.memoryUsage().arrayBuffers;
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
    }, 1);
    await Promise.allSettled(Array.from({ length: 8 }, async () => await compression.unpack(forged(500_000, bomb))));
    clearInterval(watch);
    expect(peak).toBeLessThan(50_000_000);
  });
});

describe('the options', () => {
  it('set the limits', async () => {
    const tight = createCompression({ threshold: 10, maxOutputBytes: 100 });
    const fits = json(100);
    expect(await tight.unpack(await tight.pack(fits))).toEqual(fits);
    const packed = await compression.pack(json(2_000));
    await expect((async () => await tight.unpack(packed))()).rejects.toThrow(
      'A packed value says that it takes 2000 bytes; maxOutputBytes allows 100.',
    );
  });

  it.each([{ threshold: -1 }, { threshold: 1.5 }, { maxOutputBytes: 0 }, { maxOutputBytes: NaN }])(
    'are checked: %p',
    (options) => {
      expect(() => createCompression(options)).toThrow(OptionsError);
    },
  );
});
