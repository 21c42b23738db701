import type { Limit } from '../policies/policy.js';
import type { Algorithm } from './algorithm.js';
import { slidingWindowAlgorithm } from './sliding-window.js';

/**
 * Every kind of limit and its algorithm. A further kind is one more line here and one more member of {@link Limit}; each algorithm is only
 * ever asked about limits of its own kind.
 */
export const algorithms: Readonly<Record<Limit['kind'], Algorithm<Limit>>> = {
  'sliding-window': slidingWindowAlgorithm,
};
