import { randomBytes, randomFillSync } from 'node:crypto';
import { hostname } from 'node:os';

/** Who holds a lock, as far as the value in Redis tells. */
export interface LockHolder {
  readonly host: string;
  readonly pid: number;
  /** What the holder calls itself: the option `label`. */
  readonly label?: string;
}

/** 128 random bits in base64url. */
const tokenBytes = 16;
export const tokenLength = 22;
/** Random bytes for the next 256 tokens: asked for one by one they take 2 us each, a tenth of what a free lock takes of this process. */
const pool = Buffer.allocUnsafeSlow(tokenBytes * 256);
let used = pool.length;

/**
 * An owner is what stands in Redis for one `acquire`: its token, directly followed by the mailbox of its process, and by `|` and a label if it has one.
 * So whoever releases a lock knows from the queue alone which channel leads to the next owner.
 */
export function newToken(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += tokenBytes;
  return pool.toString('base64url', used - tokenBytes, used);
}

/** The address of one LockService: `<host>:<pid>:<random>`. */
export function newMailbox(): string {
  const host = hostname().replace(/[^\w.-]/g, '_');
  return `${host}:${process.pid}:${randomBytes(6).toString('base64url')}`;
}

export function newOwner(token: string, mailbox: string, label: string | undefined): string {
  return token + mailbox + (label === undefined ? '' : `|${encodeURIComponent(label)}`);
}

/**
 * The owner for one round of a call that may need several, see `quorum/`. Of one call all are alike up to the number, which has a fixed
 * width: in the order of text, an earlier round comes before a later one.
 */
export function ownerOfRound(token: string, mailbox: string, label: string | undefined, round: number): string {
  return newOwner(token, `${mailbox}_${`${round}`.padStart(8, '0')}`, label);
}

/** The holder behind a stored owner, or `undefined` when another program has written the value. */
export function parseOwner(owner: string): LockHolder | undefined {
  const [, host, pid, label] = /^([\w.-]+):(\d+):[\w-]+(?:\|(.+))?$/.exec(owner.slice(tokenLength)) ?? [];
  if (host === undefined) return undefined;
  return { host, pid: Number(pid), ...(label === undefined ? {} : { label: decode(label) }) };
}

function decode(label: string): string {
  try {
    return decodeURIComponent(label);
  } catch {
    return label; // Not of our making.
  }
}
