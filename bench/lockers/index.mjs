import { openPeer, peerLockers } from '../peers/index.mjs';
import { openRaw } from './raw.mjs';
import { openRedstart } from './redstart.mjs';

/**
 * A way to lock, as the benches see it.
 *
 * @typedef {object} Locker
 * @property {(key: string) => Promise<() => Promise<unknown>>} acquire waits until it has the lock, and resolves to what gives it back
 * @property {() => Promise<void>} [pause] what lies between two attempts, for those who poll and let us say so
 * @property {() => Promise<void>} close
 */

/** What the others are compared with. */
export const baseline = 'plain ioredis';
/** Whom the bars are for. */
export const ours = 'redis-lock';

export const ownLockers = [baseline, ours];
export const allLockers = [...ownLockers, ...peerLockers];

/** @param {string} name one of `allLockers` @param {string} url @returns {Promise<Locker>} */
export function openLocker(name, url) {
  if (name === baseline) return openRaw(url);
  return name === ours ? openRedstart(url) : openPeer(name, url);
}
