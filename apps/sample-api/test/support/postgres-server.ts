import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chmodSync, chownSync, constants, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { eventually } from './eventually.js';

const READY_WITHIN_MS = 30_000;
const TRIES = 5;

/** A folder with `initdb` and `postgres`: of the PATH, or where Debian, Red Hat and Homebrew put them. */
const programs = ((): string | undefined => {
  const versions = ['/usr/lib/postgresql', '/opt/homebrew/opt', '/usr/local/opt'].flatMap((parent) =>
    namesIn(parent)
      .filter((name) => /^(postgresql@)?\d+$/.test(name))
      .map((name) => join(parent, name, 'bin')),
  );
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...versions.toSorted().toReversed()];
  return folders.find(
    (folder) => folder !== '' && ['initdb', 'postgres'].every((name) => isProgram(join(folder, name))),
  );
})();

const OTHERS_MAY_ENTER = 0o001;

/** Postgres refuses to run as root. Whoever is root may become somebody else, who has to be able to reach its folder. */
const account = ((): { uid: number; gid: number } | 'own' | undefined => {
  if (process.getuid?.() !== 0) return 'own';
  if ((statSync(tmpdir()).mode & OTHERS_MAY_ENTER) === 0) return undefined;
  const [, uid, gid] = /^nobody:[^:]*:(\d+):(\d+):/m.exec(textOf('/etc/passwd')) ?? [];
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
})();

/** Why there is no Postgres server on this machine that can be started, if so. */
export const noPostgres: string | undefined =
  programs === undefined
    ? 'there are no programs "initdb" and "postgres" on this machine'
    : account === undefined
      ? 'Postgres does not run as root, and there is no user "nobody" who could use the folder for temporary files'
      : undefined;

/** Like `describe`, for what needs a Postgres server. Where there is none, it says so, and its tests count as skipped. */
export function describeOnPostgres(name: string, body: () => void): void {
  if (noPostgres === undefined) {
    describe(name, body);
    return;
  }
  process.stderr.write(`Skipped, because ${noPostgres}: ${name}\n`);
  describe.skip(name, body);
}

/** A Postgres server of our own: on a free port of loopback, with its data in a temporary folder, gone in the end. */
export class PostgresServer implements AsyncDisposable {
  readonly url: string;
  readonly #server: ChildProcess;
  readonly #folder: string;

  private constructor(url: string, server: ChildProcess, folder: string) {
    this.url = url;
    this.#server = server;
    this.#folder = folder;
  }

  static async start(): Promise<PostgresServer> {
    if (programs === undefined || account === undefined) throw new Error(`No Postgres server: ${noPostgres}.`);
    const own = account === 'own' ? {} : account;
    const folder = mkdtempSync(join(tmpdir(), 'sample-api-postgres-'));
    if (account !== 'own') chownSync(folder, account.uid, account.gid);
    chmodSync(folder, 0o700);
    const data = join(folder, 'data');
    await promisify(execFile)(
      join(programs, 'initdb'),
      ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
      { ...own, cwd: folder },
    );
    for (let tries = 1; ; tries += 1) {
      const started = PostgresServer.#launch(programs, own, folder, data, await freePort());
      try {
        if (await started.#becomesReady(data)) return started;
        if (tries === TRIES) throw new Error('Postgres has ended before it answered.');
      } catch (error) {
        await started.stop();
        throw error;
      }
    }
  }

  static #launch(
    bin: string,
    own: { uid?: number; gid?: number },
    folder: string,
    data: string,
    port: number,
  ): PostgresServer {
    const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories=', 'fsync=off'];
    const server = spawn(join(bin, 'postgres'), ['-D', data, ...settings.flatMap((one) => ['-c', one])], {
      ...own,
      cwd: folder,
      stdio: 'ignore',
    });
    // Postgres does not notice that whoever has started it is gone.
    const endIt = () => server.kill('SIGQUIT');
    process.once('exit', endIt);
    server.once('exit', () => process.off('exit', endIt));
    return new PostgresServer(`postgres://postgres@127.0.0.1:${port}/postgres`, server, folder);
  }

  /** @returns `false` when it has ended: between our look at the port and its own, somebody else has taken it. */
  async #becomesReady(data: string): Promise<boolean> {
    await eventually(
      async () => {
        if (this.#hasEnded) return;
        const [answering] = (await this.ask('show data_directory')) as { data_directory: string }[];
        // And then it may be somebody else who answers.
        if (answering?.data_directory !== data) throw new Error(`Another server answers at ${this.url}.`);
      },
      { within: READY_WITHIN_MS, every: 100 },
    );
    return !this.#hasEnded;
  }

  get #hasEnded(): boolean {
    return this.#server.exitCode !== null || this.#server.signalCode !== null;
  }

  /** A new database beside the others. @returns its address */
  async createDatabase(name: string): Promise<string> {
    await this.ask(`create database ${name}`);
    const url = new URL(this.url);
    url.pathname = name;
    return url.href;
  }

  /** Asks on a connection of its own. */
  async ask(text: string, url = this.url): Promise<unknown[]> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    if (!this.#hasEnded) {
      const ended = once(this.#server, 'exit');
      this.#server.kill('SIGQUIT'); // its children end with it
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  listener.close();
  if (address === null || typeof address === 'string') throw new Error('The listener has no port.');
  return address.port;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // there is no such folder on this machine
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
