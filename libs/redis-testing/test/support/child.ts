import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { transform } from '@swc/core';

const project = join(import.meta.dirname, '..', '..');

/** Compiles the library for a plain Node process, into a folder from which it finds its dependencies. */
export async function compileLibrary(): Promise<{ entry: string; remove: () => Promise<void> }> {
  const parent = join(project, 'out-tsc');
  await mkdir(parent, { recursive: true });
  const target = await mkdtemp(join(parent, 'child-'));
  const files = (await readdir(join(project, 'src'), { recursive: true })).filter((file) => file.endsWith('.ts'));
  await Promise.all(
    files.map(async (file) => {
      const source = await readFile(join(project, 'src', file), 'utf8');
      const { code } = await transform(source, {
        swcrc: false,
        jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
        module: { type: 'es6' },
      });
      const path = join(target, file.replace(/\.ts$/, '.js'));
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, code);
    }),
  );
  return {
    entry: pathToFileURL(join(target, 'index.js')).href,
    remove: () => rm(target, { recursive: true }),
  };
}

/** A Node process that starts a server, with a folder for temporary files of its own. */
export class Child {
  readonly process: ChildProcess;
  /** Settles when the process has ended. */
  readonly ended: Promise<unknown>;
  #output = '';

  private constructor(
    readonly folder: string,
    library: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
  ) {
    this.process = spawn(process.execPath, [join(import.meta.dirname, 'start-server.mjs'), library, ...args], {
      env: { ...process.env, NODE_OPTIONS: '', ...env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true, // a process group of its own, to be killed as a whole
    });
    this.process.stdout?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    this.ended = once(this.process, 'close');
  }

  static async start(library: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Child> {
    return new Child(await mkdtemp(join(tmpdir(), 'redis-testing-child-')), library, args, env);
  }

  /** The pid of the server, once the child has told it. */
  get serverPid(): number {
    return (JSON.parse(this.#output) as { pid: number }).pid;
  }

  /** What the child has left behind: files, and processes that mention its folder. */
  async leftovers(): Promise<string[]> {
    const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'args=']);
    const processes = stdout.split('\n').filter((line) => line.includes(this.folder));
    return [...(await readdir(this.folder)), ...processes];
  }

  async remove(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
    await rm(this.folder, { recursive: true, force: true });
  }
}
