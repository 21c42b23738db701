import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Address, Endpoint } from '../server/endpoint.js';
import { type ClaimedPorts, LOOPBACK, onFreePorts } from '../server/free-ports.js';
import { ServerProcess } from '../server/server-process.js';

/** One running sentinel. */
export interface SentinelProcess {
  readonly endpoint: Endpoint;
  readonly process: ServerProcess;
}

/** The sentinels of one group. */
export interface SentinelGroup {
  readonly processes: readonly SentinelProcess[];
  /** Of their ports. */
  readonly claim: ClaimedPorts;
}

/** What a group of sentinels watches. */
export interface Watch {
  readonly masterName: string;
  readonly master: Address;
  readonly replica: Address;
  readonly downAfterMs: number;
}

interface Identity {
  readonly port: number;
  readonly id: string;
}

/**
 * Starts `count` sentinels that know the replica and each other from the start. Left to themselves they would learn that
 * from messages which each of them sends every 2 s.
 */
export async function startSentinels(
  bin: string,
  directory: string,
  count: number,
  watch: Watch,
): Promise<SentinelGroup> {
  return onFreePorts(count, async (claim) => {
    const group = claim.ports.map((port) => ({ port, id: randomBytes(20).toString('hex') }));
    const starts = await Promise.allSettled(group.map((self) => launch(bin, directory, self, group, watch)));
    const running = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    for (const start of starts) {
      if (start.status === 'fulfilled') continue;
      await Promise.all(running.map(({ process }) => process.kill()));
      throw start.reason;
    }
    return { processes: running, claim };
  });
}

async function launch(
  bin: string,
  directory: string,
  self: Identity,
  group: readonly Identity[],
  watch: Watch,
): Promise<SentinelProcess> {
  const own = join(directory, `sentinel-${self.port}`);
  await mkdir(own);
  const config = join(own, 'sentinel.conf');
  await writeFile(config, configuration(own, self, group, watch));
  const endpoint = { host: LOOPBACK, port: self.port };
  const command = { bin, directory: own, ownArgs: [config, '--sentinel'], args: [], endpoint };
  return { endpoint, process: await ServerProcess.launch(command) };
}

function configuration(
  directory: string,
  self: Identity,
  group: readonly Identity[],
  { masterName, master, replica, downAfterMs }: Watch,
): string {
  const majority = Math.floor(group.length / 2) + 1;
  return [
    `bind ${LOOPBACK}`,
    `port ${self.port}`,
    `dir "${directory}"`,
    `sentinel monitor ${masterName} ${master.host} ${master.port} ${majority}`,
    `sentinel down-after-milliseconds ${masterName} ${downAfterMs}`,
    `sentinel failover-timeout ${masterName} 5000`,
    `sentinel myid ${self.id}`,
    `sentinel known-replica ${masterName} ${replica.host} ${replica.port}`,
    ...group
      .filter(({ id }) => id !== self.id)
      .map(({ port, id }) => `sentinel known-sentinel ${masterName} ${LOOPBACK} ${port} ${id}`),
    '',
  ].join('\n');
}
