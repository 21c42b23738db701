import type { RawEntry } from '../message/envelope.js';
import type { PayloadCodec } from '../message/payload-codec.js';

/** One reply to a call: a value, an error, or neither when only the end is told. */
export interface Reply {
  readonly call: string;
  /** 0 for the first reply to its call. */
  readonly number: number;
  readonly response?: unknown;
  readonly err?: unknown;
  readonly isLast: boolean;
}

/**
 * The fields of a reply: `c` call, `n` number, `k` kind (`v` value, `e` error, `-` neither), `l` 1 for the last one, `d` value or error.
 *
 * What can't be encoded, such as a class of the server's, arrives as an error that says so.
 */
export async function replyFields(reply: Reply, codec: PayloadCodec): Promise<(string | Buffer)[]> {
  const around = ['c', reply.call, 'n', String(reply.number), 'l', reply.isLast ? '1' : '0', 'k'];
  const { err, response } = reply;
  if (err === undefined && response === undefined) return [...around, '-', 'd', ''];
  try {
    return err === undefined
      ? [...around, 'v', 'd', await codec.encode(response)]
      : [...around, 'e', 'd', await codec.encode(err instanceof Error ? plainError(err.message) : err)];
  } catch {
    return [...around, 'e', 'd', await codec.encode(plainError('The reply can not be sent.'))];
  }
}

/** @returns `undefined` when it is none of ours */
export async function readReply({ fields }: RawEntry, codec: PayloadCodec): Promise<Reply | undefined> {
  const field = new Map<string, Buffer>();
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name, value] = [fields[at], fields[at + 1]];
    if (name !== undefined && value !== undefined) field.set(name.toString(), value);
  }
  const [call, data] = [field.get('c')?.toString(), field.get('d')];
  if (call === undefined || data === undefined) return undefined;
  const around = { call, number: Number(field.get('n')?.toString()), isLast: field.get('l')?.toString() === '1' };
  const kind = field.get('k')?.toString();
  if (kind === '-') return around;
  try {
    const value: unknown = await codec.decode(data);
    return kind === 'e' ? { ...around, err: value } : { ...around, response: value };
  } catch (error) {
    return { ...around, err: error, isLast: true };
  }
}

/** As Nest's transports tell of errors that they do not know. */
function plainError(message: string) {
  return { status: 'error', message };
}
