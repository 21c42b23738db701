/**
 * `npm start`: the sample API with everything that it needs, and nothing of it left behind.
 *
 * In order: dependencies · Redis · build · database · the API. What the user brings (REDIS_URL, DATABASE_URL) is used instead of
 * a private server, and is never stopped.
 */
import { join } from 'node:path';
import { SetupError } from './errors.mjs';
import { installDependencies } from './install.mjs';
import { waitForLock } from './lock-file.mjs';
import { dataDirectory } from './paths.mjs';
import { publicAddress } from './public-address.mjs';
import { obtainRedis } from './redis-binary.mjs';
import { startPrivateRedis } from './redis-private.mjs';
import { buildSampleApi, startDatabase, startSampleApi } from './sample-api.mjs';
import { exitCode } from './spawn.mjs';

/** @returns {Promise<number>} the exit code of the API */
export async function start(_request, guard, say) {
  await holdData(guard, say);
  await installDependencies(guard, say);
  const server = process.env.REDIS_URL ? undefined : await obtainRedis({ say });
  await buildSampleApi(guard, say);
  const redis = await provideRedis(guard, say, server);
  const database = await provideDatabase(guard, say);
  say('starting the sample API …\n');
  const env = { ...process.env, REDIS_URL: redis, DATABASE_URL: database };
  const code = await exitCode(startSampleApi(guard, { env }));
  say(`the API has ended (exit code ${code}).`);
  return code;
}

/** Two servers on the same data would destroy it. The guardian holds the lock as well: it may still be ending the last run. */
async function holdData(guard, say) {
  const path = join(dataDirectory, 'start.lock');
  const lock = await waitForLock(path, {
    pids: [process.pid, guard.pid],
    while: ({ isEnding }) => isEnding,
    onWait: () => say('waiting for the last run to end …'),
  });
  if (lock.release) {
    process.once('exit', lock.release);
    return;
  }
  throw new SetupError(
    [
      `npm start already runs in this directory (process ${lock.holder}), and both would write to the same data.`,
      'Stop the other one first, or use a second clone of the repository.',
    ].join('\n'),
  );
}

async function provideRedis(guard, say, server) {
  if (!server) {
    say(`Redis: ${publicAddress(process.env.REDIS_URL)} (REDIS_URL)`);
    return process.env.REDIS_URL;
  }
  const redis = await startPrivateRedis(guard, { bin: server.bin, directory: join(dataDirectory, 'redis') });
  say(`Redis ${server.version} at ${redis.url} (private, ${server.source}; data in .data/redis)`);
  void redis.ended.then((code) =>
    say(`Redis has ended (exit code ${code}); the API goes on without it until the next npm start.`),
  );
  return redis.url;
}

async function provideDatabase(guard, say) {
  if (process.env.DATABASE_URL) {
    say(`database: ${publicAddress(process.env.DATABASE_URL)} (DATABASE_URL)`);
    return process.env.DATABASE_URL;
  }
  say('starting the database …');
  const database = await startDatabase(guard, join(dataDirectory, 'postgres'));
  say(`database at ${database.url} (private; data in .data/postgres)`);
  void database.ended.then((code) =>
    say(`The database has ended (exit code ${code}); the API can't work before the next npm start.`),
  );
  return database.url;
}
