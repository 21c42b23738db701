import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { it } from 'node:test';
import { freePort } from '../redis-private.mjs';

it('a private server gets a port that nobody is given who asks for any: it comes back there after an outage', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port: lent } = other.address();
  other.close();
  for (let asked = 0; asked < 20; asked++) assert.ok((await freePort()) < Math.min(lent, 12_000));
});

it('a port that is taken is none for a private server', async (t) => {
  const taken = await freePort();
  const holder = createServer().listen(taken, '127.0.0.1');
  await once(holder, 'listening');
  const { random } = Math;
  t.after(() => {
    Math.random = random;
    holder.close();
  });
  const drawn = [(taken - 10_000 + 0.5) / 2_000];
  Math.random = () => drawn.pop() ?? random();
  assert.notEqual(await freePort(), taken);
  assert.deepEqual(drawn, []);
});
