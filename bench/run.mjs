// npm run bench [-- core …]: prints our speed as ratios to raw ioredis, interleaved in one run on a server of its own.
import { RedisServer } from '@redstart/redis-testing';
import { coreBenches } from './core.bench.mjs';
import { report } from './lib/interleave.mjs';

const benches = { core: coreBenches };
const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !(name in benches));
if (unknown.length > 0) {
  console.error(`Unknown bench ${unknown.join(', ')}. Known: ${Object.keys(benches).join(', ')}.`);
  process.exit(1);
}
const server = await RedisServer.start();
let missed = 0;
try {
  for (const name of chosen.length > 0 ? chosen : Object.keys(benches)) {
    const rows = await benches[name](server.url);
    report(rows);
    missed += rows.filter((row) => !row.passed).length;
  }
} finally {
  await server.stop();
}
console.log(missed === 0 ? 'Every bar was met.' : `${missed} bars were missed on this machine, in this run.`);
process.exitCode = missed === 0 ? 0 : 1;
