import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { ServerStartError } from '../errors.js';

export const LOOPBACK = '127.0.0.1';

/**
 * Below every system's range of ephemeral ports. A server that is down must find its port free when it comes back; in
 * the ephemeral range the kernel may lend it to an outgoing connection, even to a client that is trying to reach it.
 */
const LOWEST = 12_000;
const HIGHEST = 31_000;

const TRIES = 5;

/** Ports that belong to whoever has them, until they are released. */
export interface ClaimedPorts {
  readonly ports: readonly number[];
  /** Gives them back; twice does no harm. */
  release(): Promise<void>;
}

/**
 * Starts something on `count` free ports, which are claimed: nobody else who asks here is given one of them, in whatever process, also while the server is down and
 * nobody listens. What is started releases them when it has ended for good. A program that does not ask may still take a port between our look
 * and the server's: then other ones are tried.
 */
export async function onFreePorts<T>(count: number, start: (claimed: ClaimedPorts) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    const claimed = await claimPorts(count);
    try {
      return await start(claimed);
    } catch (error) {
      await claimed.release();
      if (!(error instanceof ServerStartError && error.portTaken) || tries === TRIES) throw error;
    }
  }
}

/** What stands for a port that was asked for by its number, and may be somebody else's. */
export const unclaimed = { release: () => Promise.resolve() };

interface Claim {
  readonly port: number;
  release(): Promise<void>;
}

async function claimPorts(count: number): Promise<ClaimedPorts> {
  const claims: Claim[] = [];
  const release = async () => {
    await Promise.all(claims.splice(0).map((claim) => claim.release()));
  };
  try {
    while (claims.length < count) claims.push(await claimAny());
    return { ports: claims.map(({ port }) => port), release };
  } catch (error) {
    await release();
    throw error;
  }
}

async function claimAny(): Promise<Claim> {
  for (let tries = 0; tries < 200; tries++) {
    const claim = await claimPort(LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST)));
    if (claim === undefined) continue;
    if (await isFree(claim.port)) return claim;
    await claim.release();
  }
  throw new Error(`No free port was found on ${LOOPBACK} between ${LOWEST} and ${HIGHEST}.`);
}

/** The UDP port of the same number stands for it: servers of Redis leave that one alone, and the system frees it however this process ends. */
async function claimPort(port: number): Promise<Claim | undefined> {
  const holder = createSocket('udp4');
  try {
    holder.bind({ port, address: LOOPBACK, exclusive: true });
    await once(holder, 'listening');
  } catch {
    holder.close();
    return undefined; // somebody has it: another one is tried
  }
  holder.unref(); // a forgotten server does not keep the process alive
  return {
    port,
    release: () =>
      new Promise((resolve) => {
        holder.close(resolve);
      }),
  };
}

/** Whether nobody listens on it, whoever that would be. */
async function isFree(port: number): Promise<boolean> {
  const listener = createServer();
  try {
    listener.listen({ host: LOOPBACK, port, exclusive: true });
    await once(listener, 'listening');
  } catch {
    return false;
  }
  await new Promise((resolve) => listener.close(resolve));
  return true;
}
