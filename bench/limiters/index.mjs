import { openPeerLimiter, peerLimiters } from '../peers/limiters.mjs';
import { openRaw } from './raw.mjs';
import { openRedstart } from './redstart.mjs';

/**
 * A way to limit, as the benches see it: at most `limit` in a window of `windowMs`.
 *
 * @typedef {object} Limiter
 * @property {(key: string) => Promise<unknown>} consume resolves whether the call is allowed or not
 * @property {() => Promise<void>} close
 */

/** What the others are compared with. */
export const baseline = 'plain ioredis';
/** Whom the bars are for. */
export const ours = 'redis-ratelimit';

export const ownLimiters = [baseline, ours];
export const allLimiters = [...ownLimiters, ...peerLimiters];

/**
 * @param {string} name one of `allLimiters`
 * @param {string} url
 * @param {{ limit: number, windowMs: number }} law
 * @returns {Promise<Limiter>}
 */
export function openLimiter(name, url, law) {
  if (name === baseline) return openRaw(url, law);
  return name === ours ? openRedstart(url, law) : openPeerLimiter(name, url, law);
}
