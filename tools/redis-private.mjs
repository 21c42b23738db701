/** A Redis server of a command's own: on a free loopback port, with its data in a directory, so that bookings survive a restart. */
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SetupError } from './errors.mjs';
import { exitCode } from './spawn.mjs';

const READY_WITHIN = 30_000;
const ATTEMPTS = 3;

/**
 * @param {{ start: Function }} guard
 * @param {{ bin: string, directory: string, port?: number }} options `port`: where it was before, to come back there
 * @returns {Promise<{ url: string, port: number, ended: Promise<number>, stop: () => Promise<number> }>}
 * @throws SetupError with the server's last words when it does not become ready
 */
export async function startPrivateRedis(guard, { bin, directory, port: samePort }) {
  mkdirSync(directory, { recursive: true });
  const log = join(directory, 'redis.log');
  for (let attempt = 1; ; attempt++) {
    const port = samePort ?? (await freePort());
    const server = startServer(guard, bin, port, directory, log);
    const ended = exitCode(server);
    if (await becomesReady(port, ended)) {
      // A child process refuses to signal a stranger that has got its id.
      const stop = () => (server.kill('SIGTERM'), ended);
      return { url: `redis://127.0.0.1:${port}`, port, ended, stop };
    }
    const lastWords = readFileSync(log, 'utf8');
    // Between our look and its start, somebody else may have taken the port.
    if (lastWords.includes('Address already in use') && attempt < ATTEMPTS) continue;
    throw new SetupError(whyNot(lastWords, bin, directory));
  }
}

function startServer(guard, bin, port, directory, log) {
  const output = openSync(log, 'w');
  const settings = {
    port,
    bind: '127.0.0.1',
    dir: directory,
    // The append-only file loses at most a second on a crash; the snapshots would only be a second copy.
    appendonly: 'yes',
    save: '',
    daemonize: 'no',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  try {
    return guard.start(bin, args, { service: true, stdio: ['ignore', output, output] });
  } finally {
    closeSync(output);
  }
}

async function becomesReady(port, ended) {
  let gone = false;
  void ended.then(() => (gone = true));
  const deadline = performance.now() + READY_WITHIN;
  while (!gone && performance.now() < deadline) {
    if (await answersPing(port)) return true;
    await sleep(25);
  }
  return false;
}

/** A server that still loads its data answers, too, but not with PONG. */
function answersPing(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const answer = (yes) => {
      socket.destroy();
      resolve(yes);
    };
    socket.setTimeout(1000, () => answer(false));
    socket.once('data', (reply) => answer(reply.toString().startsWith('+PONG')));
    socket.once('error', () => answer(false));
  });
}

/**
 * Below the ports that systems lend to whoever asks for any: while the server is down, somebody would be given its port, and it could not come back there. The
 * servers of the specs are above.
 */
const LOWEST = 10_000;
const HIGHEST = 12_000;

export async function freePort() {
  for (let tries = 0; tries < 200; tries++) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (await isFree(port)) return port;
  }
  throw new SetupError(`No free port was found on 127.0.0.1 between ${LOWEST} and ${HIGHEST}.`);
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function whyNot(lastWords, bin, directory) {
  return [
    `The private Redis did not start. ${bin} said:`,
    ...lastWords
      .trim()
      .split('\n')
      .slice(-5)
      .map((line) => `  ${line}`),
    `If its data is damaged or was written by a newer version, move ${directory} away; or set REDIS_URL to use another server.`,
  ].join('\n');
}
