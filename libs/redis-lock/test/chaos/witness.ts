import { Redis } from 'ioredis';
import { machineNow, type LogEntry, type Said } from './checker/log-entry.js';

const log = 'witness:log';

/** Appends with the server's own time, so that the log has one clock of its own. */
const append = `
  local time = redis.call('TIME')
  return redis.call('RPUSH', KEYS[1], '{"at":' .. string.format('%.0f', time[1] * 1000000 + time[2]) .. ',' .. string.sub(ARGV[1], 2))`;

/** The second Redis: nothing disturbs it, and whoever enters or leaves tells it so. */
export class Witness {
  readonly #redis: Redis;
  #read: LogEntry[] = [];

  constructor(url: string) {
    this.#redis = new Redis(url, { disconnectTimeout: 100 });
  }

  /** Resolves once it is written. */
  async say(said: Said, lookedAt = machineNow()): Promise<void> {
    await this.#redis.eval(append, 1, log, JSON.stringify({ lookedAt, ...said }));
  }

  /** All of it, from the beginning. */
  async read(): Promise<readonly LogEntry[]> {
    const lines = await this.#redis.lrange(log, this.#read.length, -1);
    this.#read = [...this.#read, ...lines.map((line) => JSON.parse(line) as LogEntry)];
    return this.#read;
  }

  close(): void {
    this.#redis.disconnect();
  }
}
