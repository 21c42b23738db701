import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { eventually } from '../eventually.js';
import type { Report } from './report.js';

/** One process of a deployment, which tells what happens to it. It ends with this one when it listens for the end of their channel (`endWithSpec`). */
export class Instance implements AsyncDisposable {
  readonly reports: Report[] = [];
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;
  #errors = '';

  /** @param options what the program finds in its first argument, as JSON */
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
  async tells(event: string, within = 30_000): Promise<Report> {
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
