import type { Cluster, Redis } from 'ioredis';
import type { RedisServer } from '@redstart/redis-testing';
import { pidOf } from '../checker/check-queue.js';
import { machineNow } from '../checker/log-entry.js';
import { redisKey } from '../redis-key.js';
import type { WorkerProcess } from '../worker/orders.js';
import type { Crew, TargetOf } from './crew.js';
import { QueueMonitor } from './queue-monitor.js';

/** Who holds a lock and who waits for it, in this order, by the ids of their processes, as Redis has it. */
export interface Line {
  readonly holder: number | undefined;
  readonly waiters: readonly number[];
}

export interface ArenaOptions {
  readonly crew: Crew;
  readonly targetOf: TargetOf;
  /** One client of the Redis under test, for looking; of several independent servers one each. */
  readonly clients: readonly (Redis | Cluster)[];
  /** The servers that hold keys at present. */
  readonly masters: () => Promise<readonly RedisServer[]>;
  /** The server that has the keys of a lock at present; none where there is no queue, as with several independent servers. */
  readonly serverOf?: (key: string) => Promise<RedisServer>;
}

/** The Redis under test, whatever it consists of, with the crew connected to it. */
export class Arena implements AsyncDisposable {
  readonly crew: Crew;
  /** What is done to the queue of a lock; undefined where there is none. */
  readonly monitor: QueueMonitor | undefined;
  readonly #options: ArenaOptions;

  private constructor(options: ArenaOptions) {
    this.crew = options.crew;
    this.monitor = options.serverOf === undefined ? undefined : new QueueMonitor();
    this.#options = options;
  }

  static async open(options: ArenaOptions): Promise<Arena> {
    await options.crew.connect(options.targetOf);
    return new Arena(options);
  }

  /** The crew shuts its applications down. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.crew.disconnect();
    this.monitor?.close();
  }

  /** Begins to watch the queue of a lock, or goes on after its server was restarted or has changed. */
  async watch(key: string): Promise<void> {
    const server = await this.#options.serverOf?.(redisKey(key));
    if (server !== undefined) await this.monitor?.watch(server);
  }

  /** As each of the independent servers has it; where there is but one Redis, it is the only line. */
  async linesOf(key: string): Promise<readonly Line[]> {
    return Promise.all(
      this.#options.clients.map(async (client) => {
        const holder = await client.get(redisKey(key));
        const waiters = await client.lrange(`${redisKey(key)}:queue`, 0, -1);
        return { holder: holder === null ? undefined : pidOf(holder), waiters: waiters.map(pidOf) };
      }),
    );
  }

  /** The ids of the processes that can hear of a lock at this moment. */
  async listenersTo(key: string): Promise<readonly number[]> {
    const server = await this.#options.serverOf?.(redisKey(key));
    if (server === undefined) return [];
    return server.ask(async (redis) => {
      const channels = await Promise.all([
        redis.call('PUBSUB', 'CHANNELS', 'shop:lock:wake:*'),
        redis.call('PUBSUB', 'SHARDCHANNELS', `${escaped(redisKey(key))}:wake:*`),
      ]);
      return (channels as string[][]).flat().map(pidOf);
    });
  }

  /** SIGKILL, told beforehand to whoever judges the log and the queue. */
  async kill(worker: WorkerProcess): Promise<void> {
    await this.monitor?.tell('deaf', [worker.pid]);
    await this.crew.witness.say({ what: 'killed', worker: worker.name });
    await worker.kill();
  }

  /** SIGSTOP: its connections stay open, and it does nothing. */
  async freeze(worker: WorkerProcess): Promise<void> {
    await this.crew.witness.say({ what: 'froze', worker: worker.name });
    worker.freeze();
  }

  async thaw(worker: WorkerProcess): Promise<void> {
    const lookedAt = machineNow();
    worker.thaw();
    await this.crew.witness.say({ what: 'thawed', worker: worker.name }, lookedAt);
  }

  /** The event loop of a worker stands still; resolves when it goes on. */
  async stall(worker: WorkerProcess, ms: number): Promise<void> {
    await this.crew.witness.say({ what: 'froze', worker: worker.name });
    await worker.do({ order: 'stall', ms });
  }

  /** Keys that would stay for ever. */
  async keysWithoutTtl(): Promise<string[]> {
    const found: string[] = [];
    for (const master of await this.#options.masters()) {
      await master.ask(async (redis) => {
        for (const key of await redis.keys('*')) if ((await redis.pttl(key)) === -1) found.push(key);
      });
    }
    return found;
  }
}

/** For a glob pattern. */
function escaped(text: string): string {
  return text.replace(/[[\]{}*?\\^]/g, '\\$&');
}
