import { join } from 'node:path';
import { RedisServer } from '@redstart/redis-testing';
import { OrderedProcess, Programs } from '@redstart/redis-testing/programs';
import { Witness } from '../witness.js';
import type { LockTarget, Order, WorkerProcess } from '../worker/orders.js';

/** Where the worker at each place, 0 to 3, finds Redis. */
export type TargetOf = (place: number) => LockTarget;

/**
 * Four worker processes and the witness that they write to. They stay the same for all faults of a spec file; who is killed is replaced at its place
 * by a new one with another name.
 */
export class Crew implements AsyncDisposable {
  readonly witness: Witness;
  readonly #compiled: Programs;
  readonly #server: RedisServer;
  readonly #places: WorkerProcess[];
  readonly #dead: WorkerProcess[] = [];
  #recruits = 0;
  #targetOf: TargetOf | undefined;

  private constructor(compiled: Programs, server: RedisServer, size: number) {
    this.#compiled = compiled;
    this.#server = server;
    this.witness = new Witness(server.url);
    this.#places = Array.from({ length: size }, () => this.#recruit());
  }

  static async assemble(size = 4): Promise<Crew> {
    const [compiled, server] = await Promise.all([
      Programs.compile(join(import.meta.dirname, '..', '..', '..'), 'test/chaos'),
      RedisServer.start(),
    ]);
    return new Crew(compiled, server, size);
  }

  get workers(): readonly WorkerProcess[] {
    return this.#places;
  }

  /** What any of them, dead or alive, had to complain about. */
  get complaints(): string[] {
    return [...this.#dead, ...this.#places].flatMap((worker) => worker.complaints);
  }

  /** Who is there at present. */
  at(place: number): WorkerProcess {
    const worker = this.#places[place];
    if (worker === undefined) throw new RangeError(`There is no place ${place}.`);
    return worker;
  }

  /** Of whoever is there at present: 0 to 3. */
  placeOf(worker: WorkerProcess): number {
    return this.#places.indexOf(worker);
  }

  /** Tells all who live. */
  async all(order: Order): Promise<void> {
    await Promise.all(this.#places.filter(({ alive }) => alive).map((worker) => worker.do(order)));
  }

  async connect(targetOf: TargetOf): Promise<void> {
    this.#targetOf = targetOf;
    await Promise.all(this.#places.map((worker, place) => worker.do({ order: 'connect', target: targetOf(place) })));
  }

  /** Ends their applications as a shutdown does. */
  async disconnect(): Promise<void> {
    await this.all({ order: 'disconnect' });
    this.#targetOf = undefined;
  }

  /** Everybody is there and awake, whatever became of the last contest. */
  async muster(): Promise<void> {
    for (const worker of this.#places) worker.thaw();
    await Promise.all(this.#places.filter(({ alive }) => !alive).map((dead) => this.replace(dead)));
  }

  /** Puts a new process to the place of a dead one, and connects it. */
  async replace(dead: WorkerProcess): Promise<WorkerProcess> {
    const place = this.placeOf(dead);
    if (place < 0) throw new Error(`${dead.name} has been replaced already.`);
    this.#dead.push(dead);
    const recruit = this.#recruit();
    this.#places[place] = recruit;
    if (this.#targetOf !== undefined) await recruit.do({ order: 'connect', target: this.#targetOf(place) });
    return recruit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#places.map((worker) => worker.kill()));
    this.witness.close();
    await this.#server.stop();
    await this.#compiled[Symbol.asyncDispose]();
  }

  #recruit(): WorkerProcess {
    return new OrderedProcess(
      `w${++this.#recruits}`,
      this.#compiled.script('test/chaos/worker/worker'),
      this.#server.url,
    );
  }
}

export function namesOf(workers: readonly WorkerProcess[]): string[] {
  return workers.map(({ name }) => name);
}
