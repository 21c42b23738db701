/**
 * `npm run demo`: sends the sample API traffic for a while and sums up what each library did.
 *
 * It runs on a Redis, a database and a port of its own, with data that is removed at the end: what the user's environment names is
 * never touched. One scene stops that Redis and starts it again.
 */
import { join } from 'node:path';
import { ApiClient } from './demo/api-client.mjs';
import { createProgress, mayColour } from './demo/progress.mjs';
import { makeRunFolder } from './demo/run-folder.mjs';
import { scenes, SEARCHES_PER_MINUTE } from './demo/scenes.mjs';
import { formatTable, summarize } from './demo/summary.mjs';
import { newTally } from './demo/tally.mjs';
import { findMissing } from './demo/verdict.mjs';
import { SetupError } from './errors.mjs';
import { installDependencies } from './install.mjs';
import { cacheDirectory } from './paths.mjs';
import { obtainRedis } from './redis-binary.mjs';
import { startPrivateRedis } from './redis-private.mjs';
import { buildSampleApi, startDatabase, startSampleApi } from './sample-api.mjs';
import { exitCode } from './spawn.mjs';

const READY_WITHIN = 120_000;
const LAST_WORDS = 4_000;

/** @returns {Promise<number>} 0 when everything that must happen did happen */
export async function demo(_request, guard, say) {
  const forMs = secondsOf(process.env) * 1000;
  const folder = makeRunFolder(join(cacheDirectory, 'demo'));
  await installDependencies(guard, say);
  const server = await obtainRedis({ say });
  await buildSampleApi(guard, say);
  say('starting Redis, the database and the sample API …');
  const redis = await startStoppableRedis(guard, { bin: server.bin, directory: join(folder, 'redis') });
  const database = await startDatabase(guard, join(folder, 'postgres'));
  const application = await startApplication(guard, { redis: redis.url, database: database.url });
  const api = new ApiClient(application.url);
  const tally = newTally();
  const progress = createProgress(process.stdout, { isQuiet: () => guard.ending });
  const played = playScenes({ api, tally, redis, ...(await seatsOf(api)), bookings: [] }, forMs, progress);
  await Promise.race([played, application.failed]);
  return conclude(tally, (await api.get('/stats')).body, say);
}

/** @throws SetupError */
function secondsOf({ DEMO_SECONDS = '' }) {
  if (DEMO_SECONDS === '') return 20;
  const seconds = /^\d{1,3}$/.test(DEMO_SECONDS) ? Number(DEMO_SECONDS) : Number.NaN;
  if (seconds >= 4 && seconds <= 300) return seconds;
  throw new SetupError('DEMO_SECONDS must be an integer from 4 to 300.');
}

/** A Redis that comes back on the same port with the same data. */
async function startStoppableRedis(guard, options) {
  let server = await startPrivateRedis(guard, options);
  const { url, port } = server;
  return {
    url,
    stop: () => server.stop(),
    start: async () => (server = await startPrivateRedis(guard, { ...options, port })),
  };
}

/** @returns {Promise<{ url: string, failed: Promise<never> }>} `failed` rejects when it ends */
async function startApplication(guard, { redis, database }) {
  const settings = {
    PORT: '0',
    HOST: '127.0.0.1',
    STATS: 'on',
    NO_COLOR: '1',
    REDIS_URL: redis,
    DATABASE_URL: database,
  };
  const limits = {
    SEARCHES_PER_MINUTE: String(SEARCHES_PER_MINUTE),
    BOOKINGS_PER_MINUTE: '1000000',
    REPUBLISH_AFTER_SECONDS: '1',
    DATABASE_POOL_SIZE: '',
    DATABASE_TIMEOUT_SECONDS: '',
  };
  const child = startSampleApi(guard, {
    env: { ...process.env, ...settings, ...limits },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const listening = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output = (output + text).slice(-LAST_WORDS);
        const [, url] = /Listening on (http:\S+),/.exec(output) ?? [];
        if (url) resolve(url);
      });
    }
  });
  const failed = exitCode(child).then((code) => {
    throw new SetupError(`${output.trim()}\n\nThe sample API has ended (exit code ${code}); what it said is above.`);
  });
  failed.catch(() => {}); // It ends with the demo, too.
  const late = new Promise((_, reject) => {
    const giveUp = () =>
      reject(
        new SetupError(`${output.trim()}\n\nThe sample API did not start within two minutes; what it said is above.`),
      );
    setTimeout(giveUp, READY_WITHIN).unref();
  });
  late.catch(() => {}); // It may be long in use by then.
  return { url: await Promise.race([listening, failed, late]), failed };
}

/** Hands out seats, each once: more than can be sold in the longest demo. */
async function seatsOf(api) {
  const answers = await Promise.all(
    ['ATL', 'DFW', 'DTW', 'LAX', 'ORD'].map((origin) => api.get(`/flights?origin=${origin}&limit=100`)),
  );
  const refused = answers.find(({ status }) => status !== 200);
  if (refused) throw new SetupError(`The sample API has no flights to book (status ${refused.status}).`);
  const flights = answers.flatMap(({ body }) => body);
  const seats = (function* () {
    for (let row = 1; row <= 30; row++) {
      for (const letter of 'ABCDEF') for (const { id } of flights) yield { flightId: id, seat: `${row}${letter}` };
    }
  })();
  return { nextSeat: () => seats.next().value };
}

async function playScenes(stage, forMs, progress) {
  let done = 0;
  for (const { title, share, play } of scenes) {
    const began = performance.now();
    let last = '';
    await play(stage, share * forMs, (text) => {
      last = text;
      const played = share === 0 ? 0 : Math.min(1, (performance.now() - began) / (share * forMs));
      progress.show(done + share * played, `${title}: ${text}`);
    });
    done += share;
    progress.line(`${title.padEnd(10)}${last}`);
  }
}

function conclude(tally, stats, say) {
  if (!stats?.cache) throw new SetupError('The sample API does not tell what it has counted (GET /stats).');
  const colour = mayColour(process.stdout);
  const paint = (code, text) => (colour ? `\u001B[${code}m${text}\u001B[39m` : text);
  say();
  for (const line of formatTable(summarize(tally, stats), { colour })) say(line);
  const missing = findMissing(tally, stats);
  say();
  if (missing.length === 0) say(paint(32, 'Everything that should happen has happened.'));
  else say([paint(31, 'Not everything has happened as it should:'), ...missing.map((what) => `- ${what}`)].join('\n'));
  return missing.length === 0 ? 0 : 1;
}
