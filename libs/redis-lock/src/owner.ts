import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

/** Who holds a lock, as far as the value in Redis tells. */
export interface LockHolder {
  readonly host: string;
  readonly pid: number;
}

/** 128 random bits in base64url. */
const tokenLength = 22;

/**
 * An owner is what stands in Redis for one `acquire`: its token, directly followed by the mailbox of its process. So whoever releases a lock
 * knows from the queue alone which channel leads to the next owner.
 */
export function newToken(): string {
  return randomBytes(16).toString('base64url');
}

/** The address of one LockService: `<host>:<pid>:<random>`. */
export function newMailbox(): string {
  const host = hostname().replace(/[^\w.-]/g, '_');
  return `${host}:${process.pid}:${randomBytes(6).toString('base64url')}`;
}

/** The holder behind a stored owner, or `undefined` when another program has written the value. */
export function parseOwner(owner: string): (LockHolder & { readonly token: string }) | undefined {
  const [, host, pid] = /^([\w.-]+):(\d+):[\w-]+$/.exec(owner.slice(tokenLength)) ?? [];
  if (host === undefined) return undefined;
  return { token: owner.slice(0, tokenLength), host, pid: Number(pid) };
}
