import { compare } from '../lib/compare.mjs';
import { judge } from '../lib/statistics.mjs';
import { openCache, flight, warm } from './caches.mjs';

const tagged = 10_000;
const hour = { ttl: '1h' };
const keys = Array.from({ length: 128 }, (_, number) => `read-${number}`);
const tags = ['flights', 'airline:LX', 'airport:ZRH', 'airport:JFK', 'day:2026-11-21'];

/** What tags cost: a read of what has five, and the invalidation of what 10,000 values have. */
export async function tagBenches({ url, counters, rounds, publish }) {
  const far = await openCache(url, { near: false });
  const near = await openCache(url);
  for (const [number, key] of keys.entries()) {
    await far.cache.set(`plain-${key}`, flight(number), hour);
    await far.cache.set(`tagged-${key}`, flight(number), { ...hour, tags });
  }
  for (const kind of ['plain', 'tagged'])
    await warm(
      near.cache,
      keys.map((key) => `${kind}-${key}`),
    );
  const read =
    ({ cache }, kind, options) =>
    (number) =>
      cache.get(`${kind}-${keys[number % keys.length]}`, options);
  const of = { counters, rounds, concurrency: 64 };
  publish(
    await compare({
      ...of,
      title: 'A tagged hit from the near tier',
      text: 'get() of a value of 1 KB with five tags, against one without. A read may name the tags, or leave that to the entry.',
      contenders: {
        untagged: read(near, 'plain'),
        tagged: read(near, 'tagged'),
        'tagged, tags named': read(near, 'tagged', { tags }),
      },
      bars: { tagged: { atLeast: 0.91 } },
    }),
  );
  publish(
    await compare({
      ...of,
      title: 'A tagged hit from Redis',
      text: 'The same with the near tier off.',
      contenders: {
        untagged: read(far, 'plain'),
        'tagged, tags named': read(far, 'tagged', { tags }),
        tagged: read(far, 'tagged'),
      },
      bars: { 'tagged, tags named': { atLeast: 0.625 } },
    }),
  );
  publish(await invalidationSection(far.cache, counters));
  for (const { close } of [far, near]) await close();
}

async function invalidationSection(cache, counters) {
  const each = Array.from({ length: tagged }, (_, number) => number);
  for (let from = 0; from < tagged; from += 500) {
    const entries = each.slice(from, from + 500).map((number) => [`many-${number}`, { number }]);
    await cache.setMany(entries, { ...hour, tags: ['many'] });
  }
  // Redis learns the script with another tag.
  await cache.invalidateTags('none');
  const startedAt = performance.now();
  const { sent, inScripts } = await counters.commandsOf(() => cache.invalidateTags('many'));
  const ms = performance.now() - startedAt;
  const left = (await Promise.all(each.map((number) => cache.get(`many-${number}`)))).filter(Boolean).length;
  if (left > 0) throw new Error(`${left} values have survived the invalidation of their tag.`);
  const roundTrips = [...sent].filter(([name]) => name.startsWith('EVAL')).reduce((sum, [, times]) => sum + times, 0);
  return {
    title: `Invalidating a tag of ${tagged.toLocaleString('en')} values`,
    text: 'invalidateTags() of one tag. Afterwards none of the values is served.',
    tables: [
      [
        {
          'messages sent': [...sent].map(([name, times]) => `${name} ${times}`).join(', '),
          'run in scripts': [...inScripts].map(([name, times]) => `${name} ${times}`).join(', '),
          took: `${ms.toFixed(1)} ms, MONITOR included`,
          'values still served': left,
        },
      ],
    ],
    verdicts: [{ measure: 'round trips', bar: { atMost: 1 }, ...judge([roundTrips], { atMost: 1 }) }],
  };
}
