import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Endpoint } from './endpoint.js';
import { LOOPBACK } from './free-ports.js';
import { makeSelfSigned } from './self-signed.js';

/** How to start a {@link RedisServer}. */
export interface RedisServerOptions {
  /** Arguments of `redis-server`, after ours, so they win: `['--appendonly', 'yes', '--maxmemory', '10mb']`. */
  args?: readonly string[];
  /** `requirepass` of the server; `url` and `client()` carry it. @default none */
  password?: string;
  /** Listen with TLS only, with a certificate made for this server (needs the `openssl` command). @default false */
  tls?: boolean;
  /** @default a free port of 127.0.0.1 */
  port?: number;
  /** Where the server keeps its files. Yours is never removed. @default a private temporary folder, removed at `stop()` */
  dataDir?: string;
  /** The server to run. @default REDIS_SERVER_BIN, else `redis-server` or `valkey-server` where they usually are */
  bin?: string;
}

/** What to run, and how to talk to it once it runs. */
export interface ServerCommand {
  readonly bin: string;
  /** The arguments that make it ours. */
  readonly ownArgs: readonly string[];
  /** The user's arguments. */
  readonly args: readonly string[];
  readonly endpoint: Endpoint;
  /** The folder for the log. */
  readonly directory: string;
}

/** Prepares data folder and certificate, and returns what to run on a given port. */
export async function prepareCommand(
  bin: string,
  directory: string,
  options: RedisServerOptions,
): Promise<(port: number) => ServerCommand> {
  const { args = [], password, dataDir = join(directory, 'data') } = options;
  await mkdir(dataDir, { recursive: true });
  const certificate = options.tls === true ? await makeSelfSigned(directory) : undefined;
  const login = password === undefined ? [] : ['--requirepass', password, '--masterauth', password];
  const quiet = ['--save', '', '--appendonly', 'no', '--daemonize', 'no'];
  // By default a master waits 5 s for more replicas before it sends its data to the first one.
  const prompt = ['--repl-diskless-sync-delay', '0'];
  const listen = (port: number) =>
    certificate
      ? ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-replication', 'yes'].concat(
          ['--tls-cert-file', certificate.certFile, '--tls-key-file', certificate.keyFile],
          ['--tls-ca-cert-file', certificate.certFile],
        )
      : ['--port', String(port)];
  return (port) => ({
    bin,
    directory,
    ownArgs: ['--bind', LOOPBACK, ...listen(port), '--dir', dataDir, ...quiet, ...prompt, ...login],
    args,
    endpoint: {
      host: LOOPBACK,
      port,
      ...(password !== undefined && { password }),
      ...(certificate && { tls: { ca: certificate.ca } }),
    },
  });
}
