import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@redstart/redis-testing';
import { checkLog } from '../checker/check-log.js';
import { checkQueue, pidOf } from '../checker/check-queue.js';
import { machineNow, type HoldSaid, type LogEntry } from '../checker/log-entry.js';
import { redisKey } from '../redis-key.js';
import type { Terms } from '../worker/orders.js';
import type { WorkerProcess } from '../worker/orders.js';
import type { Arena } from './arena.js';

type HoldEntry = LogEntry & HoldSaid;

/** One holder inside, everybody else in the queue. */
export interface Standstill {
  readonly holder: WorkerProcess;
  readonly waiters: readonly [WorkerProcess, WorkerProcess, WorkerProcess];
}

/** An outage and a full lock are no faults of a lock. */
const allowedFailures = ['REDIS_UNAVAILABLE', 'LOCK_QUORUM', 'LOCK_TIMEOUT', 'LOCK_LOST'];

/** How long everything that is disturbed may take to come to order again, on a busy machine. */
const patience = { within: 15_000, every: 50 };

/**
 * All workers compete for one lock, and sometimes for its companion, while something goes wrong.
 *
 * - *competing*: from `begin`, and after `goOn`: short times inside, at full speed.
 * - *standing still*: after `standstill`: nobody leaves, so who is disturbed is known exactly.
 * - *over*: after `end`; `findings` tells whether the lock has held.
 */
export class Contest {
  readonly #startedAt = machineNow();

  private constructor(
    readonly arena: Arena,
    readonly terms: Terms,
  ) {}

  static async begin(arena: Arena, terms: Terms): Promise<Contest> {
    const contest = new Contest(arena, terms);
    await arena.crew.muster();
    await arena.watch(terms.key);
    await arena.crew.all({ order: 'compete', terms });
    await contest.everyoneEnters();
    await contest.someoneEntersCompanion();
    await contest.everyoneListens();
    return contest;
  }

  get workers(): readonly WorkerProcess[] {
    return this.arena.crew.workers.filter(({ alive }) => alive);
  }

  /** The lock and its companion. */
  get #keys(): readonly string[] {
    return [this.terms.key, this.terms.companion];
  }

  /** What was written since the beginning, about these locks or about none. */
  async log(): Promise<readonly LogEntry[]> {
    const log = await this.arena.crew.witness.read();
    return log.filter(
      (entry) => entry.lookedAt >= this.#startedAt && (!('key' in entry) || this.#keys.includes(entry.key)),
    );
  }

  /** From the moment that it resolves with, whoever is inside stays there. */
  async dwell(): Promise<number> {
    await this.arena.crew.all({ order: 'dwell' });
    return machineNow();
  }

  async goOn(): Promise<void> {
    await this.arena.crew.all({ order: 'let-go' });
  }

  /** Somebody is inside and stays there; all that can be known where there is no queue. */
  async someoneDwells(): Promise<WorkerProcess> {
    const dwellingSince = await this.dwell();
    return eventually(async () => {
      const holder = await this.inside(dwellingSince);
      if (holder === undefined) throw new Error('Nobody is inside.');
      return holder;
    }, patience);
  }

  async standstill(): Promise<Standstill> {
    const dwellingSince = await this.dwell();
    return eventually(async () => {
      const holder = await this.inside(dwellingSince);
      const [line] = await this.arena.linesOf(this.terms.key);
      const [beside] = await this.arena.linesOf(this.terms.companion);
      if (line === undefined || beside === undefined) throw new Error('There is no Redis to look at.');
      const waiters = line.waiters.flatMap((pid) => this.workers.filter((worker) => worker.pid === pid));
      const [first, second, third, ...more] = waiters;
      const all = new Set([holder, ...waiters]).size === this.workers.length && more.length === 0;
      if (
        holder === undefined ||
        holder.pid !== line.holder ||
        first === undefined ||
        second === undefined ||
        third === undefined ||
        !all ||
        beside.holder !== undefined ||
        beside.waiters.length > 0
      ) {
        throw new Error(`There is no standstill: ${JSON.stringify({ line, beside })}`);
      }
      return { holder, waiters: [first, second, third] } as const;
    }, patience);
  }

  /** Resolves when none of these holds the lock or has a place in its queue any more. */
  async lineWithout(workers: readonly WorkerProcess[]): Promise<void> {
    const gone = new Set(workers.map(({ pid }) => pid));
    await eventually(
      async () => {
        const lines = (await Promise.all(this.#keys.map((key) => this.arena.linesOf(key)))).flat();
        const pids = lines.flatMap(({ holder, waiters }) => [holder, ...waiters]);
        const left = pids.filter((pid) => pid !== undefined && gone.has(pid));
        if (left.length > 0) throw new Error(`Processes that rest still hold the lock or wait: ${left.join(', ')}`);
      },
      { within: 5_000 },
    );
  }

  /**
   * Who is inside, by its own account.
   *
   * @param since when it has said so at the earliest: what it said before it was told to stay may be followed by its exit
   */
  async inside(since = -Infinity): Promise<WorkerProcess | undefined> {
    const last = (await this.#holdEntries()).at(-1);
    if (last === undefined || last.what === 'exit' || last.what === 'lost' || last.lookedAt <= since) return undefined;
    return this.workers.find(({ name }) => name === last.worker);
  }

  /** Resolves with the next one to enter after a moment, and how many ms after. */
  async nextToEnter(after: number, withinMs = patience.within): Promise<{ worker: WorkerProcess; afterMs: number }> {
    return eventually(
      async () => {
        const enter = (await this.#holdEntries()).find(({ what, lookedAt }) => what === 'enter' && lookedAt > after);
        const worker = this.workers.find(({ name }) => name === enter?.worker);
        if (enter === undefined || worker === undefined) throw new Error('Nobody has entered.');
        return { worker, afterMs: enter.lookedAt - after };
      },
      { within: withinMs, every: 20 },
    );
  }

  /** Resolves when `work` has made Redis give the lock to a worker: also if that was a claim which is over by now. */
  async handsOverTo(worker: WorkerProcess, work: () => Promise<unknown>): Promise<void> {
    const { monitor } = this.arena;
    if (monitor === undefined) throw new Error('Nobody watches this lock.');
    await monitor.upToDate();
    const before = monitor.history.length;
    await work();
    await eventually(() => {
      const isToWorker = monitor.history
        .slice(before)
        .some(
          (event) =>
            event.what === 'granted' && event.key === redisKey(this.terms.key) && pidOf(event.owner) === worker.pid,
        );
      if (!isToWorker) throw new Error(`${worker.name} was not given the lock.`);
    }, patience);
  }

  /** Resolves with the moment at which a worker saw that its lock is lost. */
  async loss(of: WorkerProcess, after: number): Promise<HoldEntry> {
    return eventually(async () => {
      const lost = (await this.#holdEntries()).find(
        ({ what, worker, lookedAt }) => what === 'lost' && worker === of.name && lookedAt > after,
      );
      if (lost === undefined) throw new Error(`${of.name} has not lost its lock.`);
      return lost;
    }, patience);
  }

  /** Lets time go by, with everything in it that must not happen. */
  async passes(ms: number): Promise<void> {
    await sleep(ms);
  }

  /** Nobody is left behind for good. */
  async everyoneEnters(since = machineNow(), who = this.workers): Promise<void> {
    await eventually(async () => {
      const entries = await this.#holdEntries();
      const entered = new Set(entries.filter(({ lookedAt }) => lookedAt > since).map(({ worker }) => worker));
      const missing = who.filter(({ name }) => !entered.has(name));
      if (missing.length > 0) throw new Error(`These do not come in: ${missing.map(({ name }) => name).join(', ')}`);
    }, patience);
  }

  /** In which of their rounds they ask for it, each of them leaves to chance. */
  async someoneEntersCompanion(): Promise<void> {
    await eventually(async () => {
      const log = await this.log();
      if (!log.some((entry) => entry.what === 'enter' && entry.key === this.terms.companion)) {
        throw new Error('Nobody has been inside the companion.');
      }
    }, patience);
  }

  /** From here on nobody may be passed over. */
  async everyoneListens(): Promise<void> {
    const { arena } = this;
    if (arena.monitor === undefined) return;
    const pids = this.workers.map(({ pid }) => pid);
    await eventually(async () => {
      const listeners = await Promise.all(this.#keys.map((key) => arena.listenersTo(key)));
      const deaf = pids.filter((pid) => !listeners.every((pidsOfKey) => pidsOfKey.includes(pid)));
      if (deaf.length > 0) throw new Error(`Not everybody listens: not ${deaf.join(', ')}`);
    }, patience);
    await arena.monitor.tell('hears', pids);
  }

  /** Their connections are about to break. */
  async nobodyListens(): Promise<void> {
    await this.arena.monitor?.tell(
      'deaf',
      this.workers.map(({ pid }) => pid),
    );
  }

  /** Redis loses what it knows, or may do so, while `work` runs. */
  async forgets(what: 'forgot' | 'may-have-forgotten', work: () => Promise<unknown>): Promise<void> {
    const from = machineNow();
    await work();
    await this.arena.crew.witness.say({ what, from });
  }

  /** Another process takes the place of a dead one, and competes. */
  async replace(dead: WorkerProcess): Promise<void> {
    const recruit = await this.arena.crew.replace(dead);
    await recruit.do({ order: 'compete', terms: this.terms });
  }

  /** Brings everything to order after a disturbance: everybody competes, enters and listens again. */
  async settle(): Promise<void> {
    const dead = this.arena.crew.workers.filter(({ alive }) => !alive);
    await Promise.all(dead.map((worker) => this.replace(worker)));
    await this.goOn();
    await this.everyoneEnters();
    await this.everyoneListens();
  }

  /**
   * Ends it in the hardest way: one is inside, and the others give up their places at once. Whoever rests leaves nothing behind, and that long before any
   * lease ends; what the dead have left lapses.
   */
  async end(): Promise<void> {
    await (this.arena.monitor === undefined ? this.someoneDwells() : this.standstill());
    await this.arena.crew.all({ order: 'rest' });
    await this.lineWithout(this.workers);
  }

  /** All that is against the promises of a lock until now, in words. */
  async findings(): Promise<string[]> {
    const { crew, monitor } = this.arena;
    await monitor?.upToDate();
    const log = await this.log();
    return [
      ...checkLog(log, { allowedFailures }),
      ...(monitor === undefined ? await this.#queues() : checkQueue(monitor.history.splice(0))),
      ...(await this.arena.keysWithoutTtl()).map((key) => `${key} has no TTL`),
      ...crew.complaints,
    ];
  }

  /** Where several servers have to agree no order is promised: nobody may queue at any of them. */
  async #queues(): Promise<string[]> {
    const lines = (await Promise.all(this.#keys.map((key) => this.arena.linesOf(key)))).flat();
    return lines.flatMap(({ waiters }) => waiters.map((pid) => `process ${pid} queues where no order is promised`));
  }

  async #holdEntries(): Promise<HoldEntry[]> {
    const log = await this.log();
    return log
      .filter((entry): entry is HoldEntry => 'hold' in entry && entry.key === this.terms.key)
      .sort((a, b) => a.lookedAt - b.lookedAt);
  }
}
