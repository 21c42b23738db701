import { createRequire } from 'node:module';
import { cpus, loadavg } from 'node:os';
import { Redis } from 'ioredis';

/** Where the figures come from: whoever compares them with others has to know. */
export async function describeMachine(url) {
  const redis = new Redis(url);
  const info = await redis.info('server');
  redis.disconnect();
  const [server, version] = /^(valkey|redis)_version:(\S+)/m.exec(info)?.slice(1) ?? [];
  const ioredis = createRequire(import.meta.url)('ioredis/package.json').version;
  const processors = cpus();
  return [
    `${processors.length} x ${processors[0]?.model.trim()}`,
    `Node.js ${process.version}`,
    `ioredis ${ioredis}`,
    `${server} ${version}, over loopback, nothing persisted`,
  ].join(' · ');
}

/** What else the machine had to do: the load average of the last minute. */
export const load = () => loadavg()[0].toFixed(1);
