import { setTimeout as sleep } from 'node:timers/promises';
import { concurrency, fixedWindow, gcra, slidingLog, slidingWindow, tokenBucket } from '@redstart/redis-ratelimit';
import { Redis } from 'ioredis';
import { openService } from '../limiters/redstart.mjs';

const calls = 64;
/** Each kind with room for 100 calls: a window of 1.1 s so that all of its buckets can be filled while one waits. */
const kinds = {
  'sliding window': { policy: slidingWindow({ limit: 100, window: '1100ms' }), fill: overWindow },
  'sliding log': { policy: slidingLog({ limit: 100, window: '1m' }), fill: atOnce },
  'fixed window': { policy: fixedWindow({ limit: 100, window: '1m' }), fill: atOnce },
  'token bucket': { policy: tokenBucket({ capacity: 100, refill: 10, per: '10s' }), fill: atOnce },
  GCRA: { policy: gcra({ rate: 100, per: '1m' }), fill: atOnce },
  concurrency: { policy: concurrency({ limit: 100, lease: '30s' }), fill: atOnce, slots: true },
};
const nameOf = (kind) => kind.replace(' ', '-').toLowerCase();

/** What a key takes in Redis, and a call on the wire, for each kind of limit. */
export async function footprintBench({ url, counters }) {
  const policies = Object.fromEntries(Object.entries(kinds).map(([kind, { policy }]) => [nameOf(kind), policy]));
  const { limiter, close } = await openService(url, policies);
  const redis = new Redis(url);
  const rows = [];
  for (const [kind, { fill, slots = false }] of Object.entries(kinds)) {
    const name = nameOf(kind);
    const held = [];
    const call = async (key) => {
      if (!slots) return limiter.consume(name, key);
      held.push(await limiter.acquire(name, key));
    };
    await call('memory');
    const first = await memoryOf(redis, name);
    await fill(() => call('memory'));
    const filled = await memoryOf(redis, name);
    const bytes = async (work) => describe(await counters.bytesOf(work), calls);
    // The first call of a kind brings the text of its script.
    rows.push({
      kind,
      'memory, one call': `${first} B`,
      'memory, 100 calls': `${filled} B`,
      'bytes of a call alone': await bytes(() => inTurn((at) => call(`alone:${at}`))),
      'of one of 64 in a tick': await bytes(() => together((at) => call(`tick:${at}`))),
      'the same on one key': await bytes(() => together(() => call('same'))),
    });
    await Promise.all(held.map((slot) => slot.release()));
  }
  redis.disconnect();
  await close();
  return {
    title: 'Memory and bytes',
    text: [
      'Memory by MEMORY USAGE of the key, its name included, after one call and after 100 at a limit of 100 (the sliding window: spread over all of its buckets).',
      'Bytes to and from Redis for one call; of a concurrency limit without the release.',
    ].join('\n'),
    tables: [rows],
    verdicts: [],
  };
}

async function memoryOf(redis, policy) {
  const keys = await redis.keys(`bench:ratelimit:{memory}:${policy}:*`);
  if (keys.length !== 1) throw new Error(`The policy ${policy} has ${keys.length} keys.`);
  return redis.memory('USAGE', keys[0], 'SAMPLES', 0);
}

async function atOnce(call) {
  for (let count = 1; count < 100; count += 1) await call();
}

/** Nine in each tenth of the window. */
async function overWindow(call) {
  for (let bucket = 0; bucket < 11; bucket += 1) {
    for (let count = 0; count < 9; count += 1) await call();
    await sleep(105);
  }
}

async function inTurn(call) {
  for (let at = 0; at < calls; at += 1) await call(at);
}

function together(call) {
  return Promise.all(Array.from({ length: calls }, (_, at) => call(at)));
}

function describe({ toServer, fromServer }, count) {
  return `${Math.round(toServer / count)} / ${Math.round(fromServer / count)}`;
}
