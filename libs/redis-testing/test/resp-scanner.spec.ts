import fc from 'fast-check';
import { NotRespError, RespScanner } from '../src/proxy/resp-scanner.js';

/** The complete frames of `text`, which arrives in chunks of `size` bytes. */
function framesOf(text: string, { size = text.length, inline = false } = {}) {
  const scanner = new RespScanner({ inline });
  const frames: { kind: string; size: number; first: string; text: string }[] = [];
  let open = '';
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.subarray(at, at + size);
    let expectedStart = 0;
    for (const { frame, start, end, opens, closes } of scanner.scan(chunk)) {
      expect(start).toBe(expectedStart);
      expect(opens).toBe(open === '');
      open += chunk.toString('latin1', start, end);
      expectedStart = end;
      if (!closes) continue;
      frames.push({ ...frame, text: open });
      open = '';
    }
    expect(expectedStart).toBe(chunk.length);
  }
  expect(open).toBe('');
  return frames;
}

const values: [kind: string, text: string][] = [
  ['simple string', '+OK\r\n'],
  ['error', '-ERR no\r\n'],
  ['integer', ':42\r\n'],
  ['string with line ends and RESP inside', '$9\r\n\r\n+OK\r\n$0\r\n'],
  ['empty string', '$0\r\n\r\n'],
  ['null string', '$-1\r\n'],
  ['null array', '*-1\r\n'],
  ['empty array', '*0\r\n'],
  ['nested array', '*2\r\n*2\r\n:1\r\n*1\r\n$1\r\na\r\n*0\r\n'],
  ['map', '%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n'],
  ['set', '~2\r\n+a\r\n+b\r\n'],
  ['push', '>2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n'],
  ['attribute', '|1\r\n+ttl\r\n:3600\r\n'],
  ['attribute inside an array', '*2\r\n|1\r\n+ttl\r\n:1\r\n:1\r\n:2\r\n'],
  ['verbatim string', '=5\r\ntxt:a\r\n'],
  ['bulk error', '!3\r\nERR\r\n'],
  ['null, boolean, double, big number', '*4\r\n_\r\n#t\r\n,1.5\r\n(123456789012345678901\r\n'],
];

describe('the scanner', () => {
  it.each(values)('finds the end of a %s, however it is cut', (_kind, text) => {
    for (let size = 1; size <= text.length; size++) {
      expect(framesOf(`:0\r\n${text}+end\r\n`, { size }).map((frame) => frame.text)).toEqual([
        ':0\r\n',
        text,
        '+end\r\n',
      ]);
    }
  });

  it('finds the boundaries of any sequence of values in any chunks', () => {
    const sequence = fc.array(fc.constantFrom(...values.map(([, text]) => text)), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(sequence, fc.integer({ min: 1, max: 40 }), (texts, size) => {
        expect(framesOf(texts.join(''), { size }).map(({ text }) => text)).toEqual(texts);
      }),
    );
  });

  it('names commands, with the number of their words, also those in plain words', () => {
    const commands = '*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n*1\r\n$4\r\nINFO\r\nset a b\r\n';
    for (let size = 1; size <= commands.length; size++) {
      const named = framesOf(commands, { size, inline: true }).map(({ first, size: words }) => [first, words]);
      expect(named).toEqual([
        ['GET', 2],
        ['PING', 1],
        ['INFO', 1],
        ['set', 3],
      ]);
    }
  });

  it('says so when the bytes are no RESP', () => {
    expect(() => new RespScanner().scan(Buffer.from('\u0016\u0003\u0001hello\n'))).toThrow(NotRespError);
    expect(() => new RespScanner({ inline: true }).scan(Buffer.from('*x\r\n'))).toThrow(NotRespError);
  });
});
