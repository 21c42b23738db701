// One of the processes that want a cold key at the same moment: told when and how by its parent, it answers how many loaders ran.
import { setTimeout as sleep } from 'node:timers/promises';
import { openCache } from './caches.mjs';

const { cache, close } = await openCache(process.argv[2], { near: process.argv[3] === 'near' });
// Connected, and its code compiled.
await cache.getOrSet(`warm-${process.pid}`, () => 1);
process.send('ready');
process.on('message', async (message) => {
  if (message === 'end') {
    await close();
    process.disconnect();
    return;
  }
  const { key, callers, loadMs } = message;
  let loads = 0;
  const values = await Promise.all(
    Array.from({ length: callers }, () =>
      cache.getOrSet(
        key,
        async () => {
          loads += 1;
          await sleep(loadMs);
          return `${process.pid}`;
        },
        { waitTimeout: '2m' },
      ),
    ),
  );
  process.send({ loads, values: [...new Set(values)] });
});
