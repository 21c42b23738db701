import {
  all,
  concurrency,
  createPolicies,
  fixedWindow,
  gcra,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from '../../src/index.js';

/** What each of the policies admits, and no more comes back while a spec runs. */
export const limit = 123;

export const policies = createPolicies({
  slidingWindow: slidingWindow({ limit, window: '1d' }),
  slidingLog: slidingLog({ limit, window: '1d' }),
  fixedWindow: fixedWindow({ limit, window: '1d' }),
  tokenBucket: tokenBucket({ capacity: limit, refill: 1, per: '1d' }),
  gcra: gcra({ rate: 1, per: '1d', burst: limit }),
  concurrency: concurrency({ limit, lease: '1h' }),
  all: all(slidingWindow({ limit: limit + 50, window: '1d' }), gcra({ rate: 1, per: '1d', burst: limit })),
  exact: slidingWindow({ limit, window: '1d', exact: true }),
});
