/** One RESP value as it goes by: a command, a reply or a push. The fields fill up while its bytes arrive. */
export interface Frame {
  /** The first byte: `*`, `+`, `>` and so on; a command in plain words (`PING\r\n`) has `inline`. */
  kind: string;
  /** The number of elements of an array or push, the number of words of a plain command. */
  size: number;
  /** The first element when it is a string, at most {@link WORD_BYTES} of it: a command's name, a push's type. */
  first: string;
}

/** A piece of a chunk that belongs to one frame. */
export interface Segment {
  readonly frame: Frame;
  readonly start: number;
  readonly end: number;
  /** The frame begins here, and not in an earlier chunk. */
  readonly opens: boolean;
  /** The frame is complete. */
  readonly closes: boolean;
}

/** The bytes are no RESP, so nothing more can be said about this connection. */
export class NotRespError extends Error {}

const WORD_BYTES = 64;
const LF = 10;
const CRLF_BYTES = 2;

/**
 * Finds where the RESP values of a stream begin and end, in chunks cut anywhere, without keeping their contents.
 *
 * It is always in one of three states: between frames, inside a header line (`*3`, `$5`, `+OK`), or inside the body of
 * a string, of which `#bodyLeft` bytes are to come. `#valuesLeft` counts the values that the open frame still needs;
 * an array of n takes one and adds n, so nesting needs no stack. RESP2 and RESP3 are understood, and commands in plain
 * words when `inline` is set.
 */
export class RespScanner {
  readonly #inline: boolean;
  #frame: Frame | undefined;
  #valuesLeft = 0;
  #header = '';
  #bodyLeft = 0;
  #atFirstElement = false;

  constructor({ inline = false } = {}) {
    this.#inline = inline;
  }

  /** @throws NotRespError */
  scan(chunk: Buffer): Segment[] {
    const segments: Segment[] = [];
    let [at, start] = [0, 0];
    let opens = false;
    while (at < chunk.length) {
      if (this.#frame === undefined) {
        this.#open();
        [opens, start] = [true, at];
      }
      at = this.#bodyLeft > 0 ? this.#readBody(chunk, at) : this.#readHeader(chunk, at);
      if (this.#valuesLeft > 0) continue;
      segments.push({ frame: this.#frame ?? this.#open(), start, end: at, opens, closes: true });
      this.#frame = undefined;
      [opens, start] = [false, at];
    }
    if (this.#frame !== undefined) segments.push({ frame: this.#frame, start, end: at, opens, closes: false });
    return segments;
  }

  #open(): Frame {
    this.#valuesLeft = 1;
    this.#atFirstElement = false;
    this.#frame = { kind: '', size: 0, first: '' };
    return this.#frame;
  }

  #readBody(chunk: Buffer, at: number): number {
    const end = Math.min(at + this.#bodyLeft, chunk.length);
    if (this.#atFirstElement) this.#keepFirst(chunk.toString('latin1', at, Math.min(end, at + WORD_BYTES)));
    this.#bodyLeft -= end - at;
    if (this.#bodyLeft === 0) this.#valueRead();
    return end;
  }

  #readHeader(chunk: Buffer, at: number): number {
    const lineFeed = chunk.indexOf(LF, at);
    const end = lineFeed < 0 ? chunk.length : lineFeed + 1;
    const room = Math.max(0, WORD_BYTES - this.#header.length);
    this.#header += chunk.toString('latin1', at, Math.min(end, at + room));
    if (this.#frame?.kind === '') this.#frame.kind = this.#header.charAt(0);
    if (lineFeed >= 0) {
      const header = this.#header.trimEnd();
      this.#header = '';
      this.#interpret(header);
    }
    return end;
  }

  #interpret(header: string): void {
    const count = Number(header.slice(1));
    switch (header.charAt(0)) {
      case '*':
      case '~':
      case '>':
        this.#expect(header, count, count);
        return;
      case '%':
        this.#expect(header, count, 2 * count);
        return;
      case '|': // an attribute stands before a value without being one; at the top it is a frame of its own
        this.#expect(header, count, 2 * count + (this.#isTop ? 0 : 1));
        return;
      case '$':
      case '=':
      case '!':
        if (!Number.isInteger(count)) throw new NotRespError(header);
        if (count < 0) this.#valueRead();
        else this.#bodyLeft = count + CRLF_BYTES;
        return;
      case '+':
      case '-':
      case ':':
      case '_':
      case '#':
      case ',':
      case '(':
        this.#valueRead();
        return;
      default:
        this.#interpretInline(header);
    }
  }

  #interpretInline(header: string): void {
    if (!this.#inline || this.#frame === undefined || !this.#isTop) throw new NotRespError(header);
    const words = header.split(/\s+/).filter((word) => word !== '');
    this.#frame.kind = 'inline';
    this.#frame.size = words.length;
    this.#frame.first = words[0] ?? '';
    this.#valuesLeft = 0;
  }

  /** An aggregate: one of the expected values, and `values` more to come (none when it is null, -1). */
  #expect(header: string, size: number, values: number): void {
    if (!Number.isInteger(size)) throw new NotRespError(header);
    const top = this.#isTop;
    this.#valuesLeft += Math.max(0, values) - 1;
    this.#atFirstElement = top;
    if (top && this.#frame !== undefined) this.#frame.size = size;
  }

  #valueRead(): void {
    this.#valuesLeft -= 1;
    this.#atFirstElement = false;
  }

  #keepFirst(text: string): void {
    if (this.#frame === undefined) return;
    const missing = Math.min(this.#bodyLeft - CRLF_BYTES, WORD_BYTES - this.#frame.first.length);
    this.#frame.first += text.slice(0, Math.max(0, missing));
  }

  /** Nothing of the open frame has been understood yet. */
  get #isTop(): boolean {
    return this.#valuesLeft === 1 && this.#frame?.size === 0 && !this.#atFirstElement;
  }
}
