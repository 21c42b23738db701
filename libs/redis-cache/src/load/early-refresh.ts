import type { EarlyRefresh } from './load.options.js';
import type { Envelope } from '../entry/envelope.js';

/**
 * Whether a fresh value is to be loaded anew by now.
 *
 * XFetch: at random, so that the caller who does it comes the earlier the longer the load takes; `-ln(random)` is 1 on average.
 *
 * @param now by the server's clock
 * @param random from 0 up to 1, exclusive
 * @see Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015
 */
export function isDue(
  early: EarlyRefresh,
  { createdAt, freshUntil, loadMs }: Pick<Envelope, 'createdAt' | 'freshUntil' | 'loadMs'>,
  now: number,
  random: () => number = Math.random,
): boolean {
  switch (early.kind) {
    case 'never':
      return false;
    case 'share':
      return now >= createdAt + early.share * (freshUntil - createdAt);
    case 'xfetch': {
      // A load that is as long as the ttl would be due at once, for ever.
      const deltaMs = Math.min(Math.max(1, loadMs), (freshUntil - createdAt) / 2);
      return now - deltaMs * early.beta * Math.log(1 - random()) >= freshUntil;
    }
  }
}
