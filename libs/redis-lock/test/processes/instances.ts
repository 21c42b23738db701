import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { transform } from '@swc/core';
import { eventually } from '@redstart/redis-testing';

const project = join(import.meta.dirname, '..', '..');

/** What an instance tells; each kind has fields of its own. */
export interface Report {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** The library and the programs beside this file, compiled for plain Node processes. */
export class Programs implements AsyncDisposable {
  private constructor(private readonly folder: string) {}

  /** Into a folder from which they find their dependencies. */
  static async compile(): Promise<Programs> {
    const parent = join(project, 'out-tsc');
    await mkdir(parent, { recursive: true });
    const folder = await mkdtemp(join(parent, 'child-'));
    for (const part of ['src', 'test/processes']) {
      const files = (await readdir(join(project, part), { recursive: true })).filter((file) => file.endsWith('.ts'));
      await Promise.all(files.map((file) => compileOne(join(part, file), folder)));
    }
    return new Programs(folder);
  }

  /** @param options what the program finds in its first argument, as JSON */
  start(program: string, options: object): Instance {
    return new Instance(join(this.folder, 'test/processes', `${program}.js`), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}

async function compileOne(file: string, folder: string): Promise<void> {
  const { code } = await transform(await readFile(join(project, file), 'utf8'), {
    swcrc: false,
    jsc: {
      target: 'es2022',
      parser: { syntax: 'typescript', decorators: true },
      transform: { legacyDecorator: true, decoratorMetadata: true },
      keepClassNames: true,
    },
    module: { type: 'es6' },
  });
  const path = join(folder, file.replace(/\.ts$/, '.js'));
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, code);
}

/** One process of a deployment. It ends with this one, since it listens for the end of their channel. */
export class Instance implements AsyncDisposable {
  readonly reports: Report[] = [];
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;
  #errors = '';

  constructor(path: string, options: object) {
    this.#process = fork(path, [JSON.stringify(options)], {
      env: { ...process.env, NODE_OPTIONS: '' },
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#process.on('message', (report: Report) => this.reports.push(report));
    this.#process.stderr?.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    this.#ended = once(this.#process, 'close');
  }

  /** What it has told of one kind. */
  told(event: string): Report[] {
    return this.reports.filter((report) => report.event === event);
  }

  /** Waits until it has told so, and returns the first such report. */
  async tells(event: string, within = 15_000): Promise<Report> {
    return eventually(
      () => {
        if (this.#process.exitCode !== null) throw new Error(`It has ended: ${this.#errors}`);
        const [report] = this.told(event);
        if (report === undefined) throw new Error(`It has not told "${event}" yet. ${this.#errors}`);
        return report;
      },
      { within, every: 5 },
    );
  }

  /** Tells the program something. */
  send(message: string): void {
    this.#process.send(message);
  }

  /** SIGKILL; resolves when the process has ended. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
