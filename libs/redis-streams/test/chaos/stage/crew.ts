import { join } from 'node:path';
import { RedisServer } from '@redstart/redis-testing';
import { OrderedProcess, Programs } from '@redstart/redis-testing/programs';
import { Ledger } from '../ledger/ledger.js';
import type { MemberProcess, MemberTarget, Order } from '../member/member-orders.js';

/** Where the member at each place finds Redis. */
export type TargetOf = (place: number) => MemberTarget;

export const consumerPlaces = 4;
export const places = 6;

/**
 * Six processes, the first four of which consume and the other two publish, and the ledger that they write to. They stay the same for all faults; who is killed is
 * replaced at its place by a new one with another name.
 */
export class Crew implements AsyncDisposable {
  readonly ledger: Ledger;
  readonly #compiled: Programs;
  readonly #server: RedisServer;
  readonly #places: MemberProcess[];
  readonly #dead: MemberProcess[] = [];
  #recruits = 0;
  #targetOf: TargetOf | undefined;

  private constructor(compiled: Programs, server: RedisServer) {
    this.#compiled = compiled;
    this.#server = server;
    this.ledger = new Ledger(server.url);
    this.#places = Array.from({ length: places }, () => this.#recruit());
  }

  static async assemble(): Promise<Crew> {
    const [compiled, server] = await Promise.all([
      Programs.compile(join(import.meta.dirname, '..', '..', '..'), 'test/chaos'),
      RedisServer.start(),
    ]);
    return new Crew(compiled, server);
  }

  get members(): readonly MemberProcess[] {
    return this.#places;
  }

  get consumers(): readonly MemberProcess[] {
    return this.#places.slice(0, consumerPlaces);
  }

  get producers(): readonly MemberProcess[] {
    return this.#places.slice(consumerPlaces);
  }

  /** What any of them, dead or alive, had to complain about. */
  get complaints(): string[] {
    return [...this.#dead, ...this.#places].flatMap((member) => member.complaints);
  }

  /** Those who were killed. */
  get dead(): readonly MemberProcess[] {
    return this.#dead;
  }

  /** Who is at a place at present. */
  at(place: number): MemberProcess {
    const member = this.#places[place];
    if (member === undefined) throw new RangeError(`There is no place ${place}.`);
    return member;
  }

  /** Of whoever is there at present: 0 to 5. */
  placeOf(member: MemberProcess): number {
    return this.#places.indexOf(member);
  }

  async all(members: readonly MemberProcess[], order: Order): Promise<void> {
    await Promise.all(members.filter(({ alive }) => alive).map((member) => member.do(order)));
  }

  async connect(targetOf: TargetOf): Promise<void> {
    this.#targetOf = targetOf;
    await this.muster();
    await Promise.all(this.#places.map((member, place) => member.do({ order: 'connect', target: targetOf(place) })));
  }

  /** Ends their applications as a shutdown does. */
  async disconnect(): Promise<void> {
    this.#targetOf = undefined;
    await this.all(this.#places, { order: 'disconnect' });
  }

  /** Everybody is there and awake, whatever became of the last fault. */
  async muster(): Promise<void> {
    for (const member of this.#places) member.thaw();
    await Promise.all(this.#places.filter(({ alive }) => !alive).map((dead) => this.replace(dead)));
  }

  /** Puts a new process to the place of a dead one, and connects it. */
  async replace(dead: MemberProcess): Promise<MemberProcess> {
    const place = this.placeOf(dead);
    if (place < 0) throw new Error(`${dead.name} has been replaced already.`);
    this.#dead.push(dead);
    const recruit = this.#recruit();
    this.#places[place] = recruit;
    if (this.#targetOf !== undefined) await recruit.do({ order: 'connect', target: this.#targetOf(place) });
    return recruit;
  }

  /** Ends the application of a member as a shutdown does, and starts it anew in the same process. */
  async restart(member: MemberProcess): Promise<void> {
    if (this.#targetOf === undefined) throw new Error('Nobody is connected.');
    await member.do({ order: 'disconnect' });
    await member.do({ order: 'connect', target: this.#targetOf(this.placeOf(member)) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#places.map((member) => member.kill()));
    this.ledger.close();
    await this.#server.stop();
    await this.#compiled[Symbol.asyncDispose]();
  }

  #recruit(): MemberProcess {
    return new OrderedProcess(
      `m${++this.#recruits}`,
      this.#compiled.script('test/chaos/member/member'),
      this.#server.url,
    );
  }
}
