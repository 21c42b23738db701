import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Answer, NumberedOrder } from './obey.js';

/** An order is answered within this, or the process hangs. The longest ones wait for something while Redis is out of reach. */
const answerWithinMs = 30_000;

interface Pending {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * A process that carries out orders, as its parent sees it; the other side is `obey`.
 *
 * - *running*: takes orders, one after the other or at once.
 * - *frozen*: by SIGSTOP. Takes orders when it goes on.
 * - *gone*: killed, or ended by itself. Pending orders reject.
 */
export class OrderedProcess<Order extends { readonly order: string }> {
  /** What must never happen: rejections that nobody handled, a death that nobody ordered. */
  readonly complaints: string[] = [];
  readonly #child: ChildProcess;
  readonly #ready: Promise<void>;
  readonly #gone: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  #orders = 0;
  #alive = true;
  #mayEnd = false;
  #output = '';

  constructor(
    readonly name: string,
    script: string,
    firstArgument: string,
  ) {
    this.#child = spawn(process.execPath, [script, name, firstArgument], {
      env: { ...process.env, NODE_OPTIONS: '', NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    }
    this.#ready = new Promise((resolve, reject) => {
      this.#pending.set(0, { resolve, reject });
    });
    this.#child.on('message', (message) => {
      this.#hear(message as Answer);
    });
    this.#gone = once(this.#child, 'close').then(() => {
      this.#end();
    });
  }

  /** Unique while it lives; how Redis' keys name it. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Carries the order out, once the process has started. */
  async do(order: Order): Promise<void> {
    await this.#ready;
    const id = ++this.#orders;
    const numbered: NumberedOrder<Order> = { id, order };
    let late: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#pending.set(id, { resolve, reject });
        late = setTimeout(() => {
          reject(new Error(`${this.name} did not answer to "${order.order}".`));
        }, answerWithinMs);
        this.#child.send(numbered, (error) => {
          if (error !== null) reject(error);
        });
      });
    } finally {
      clearTimeout(late);
      this.#pending.delete(id);
    }
  }

  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  /** SIGKILL; resolves when the process has ended. */
  async kill(): Promise<void> {
    this.#mayEnd = true;
    this.#child.kill('SIGKILL');
    await this.#gone;
  }

  #hear(report: Answer): void {
    if ('complaint' in report) this.complaints.push(`${this.name}: ${report.complaint}`);
    else if ('ready' in report) this.#pending.get(0)?.resolve();
    else if (report.failure === undefined) this.#pending.get(report.id)?.resolve();
    else this.#pending.get(report.id)?.reject(new Error(`${this.name}: ${report.failure}`));
  }

  #end(): void {
    this.#alive = false;
    if (!this.#mayEnd) this.complaints.push(`${this.name} ended by itself. ${this.#output}`);
    for (const { reject } of this.#pending.values()) reject(new Error(`${this.name} has ended. ${this.#output}`));
  }
}
