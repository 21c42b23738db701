import { createServer, type Server } from 'node:net';
import { ServerStartError } from '../errors.js';

export const LOOPBACK = '127.0.0.1';

/**
 * Below every system's range of ephemeral ports. A server that is down must find its port free when it comes back; in
 * the ephemeral range the kernel may lend it to an outgoing connection, even to a client that is trying to reach it.
 */
const LOWEST = 12_000;
const HIGHEST = 31_000;

const TRIES = 5;

/**
 * Starts something on `count` free ports. Between our look at a port and the server's, another process may have taken
 * it: then other ports are tried.
 */
export async function onFreePorts<T>(count: number, start: (ports: number[]) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await start(await freePorts(count));
    } catch (error) {
      if (!(error instanceof ServerStartError && error.portTaken) || tries === TRIES) throw error;
    }
  }
}

/**
 * `count` different ports of 127.0.0.1 that nobody listens on.
 */
async function freePorts(count: number): Promise<number[]> {
  const holders: Server[] = [];
  try {
    while (holders.length < count) holders.push(await holdAny());
    return holders.map(portOf);
  } finally {
    await Promise.all(holders.map((holder) => new Promise((resolve) => holder.close(resolve))));
  }
}

async function holdAny(): Promise<Server> {
  for (let tries = 0; tries < 200; tries++) {
    const holder = await hold(LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST)));
    if (holder !== undefined) return holder;
  }
  throw new Error(`No free port was found on ${LOOPBACK} between ${LOWEST} and ${HIGHEST}.`);
}

function hold(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const holder = createServer();
    holder.once('error', () => {
      resolve(undefined); // in use: another one is tried
    });
    holder.listen({ host: LOOPBACK, port, exclusive: true }, () => {
      resolve(holder);
    });
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('A listening TCP server has a port.');
  return address.port;
}
