import { Redis } from 'ioredis';
import type { Line } from './line.js';

/** How many lines are read at once. */
const page = 10_000;

/** The second Redis: nothing disturbs it, and whoever publishes or handles a message says so there. */
export class Ledger {
  readonly #redis: Redis;
  readonly #unsaid = new Map<string, Line[]>();
  #saying: Promise<void> | undefined;

  constructor(url: string) {
    this.#redis = new Redis(url, { disconnectTimeout: 100 });
  }

  /** Resolves once it is written. All lines of one turn of the event loop are written together. */
  say(wave: string, line: Line): Promise<void> {
    const lines = this.#unsaid.get(wave) ?? [];
    this.#unsaid.set(wave, lines);
    lines.push(line);
    this.#saying ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#saying = undefined;
        const unsaid = [...this.#unsaid];
        this.#unsaid.clear();
        Promise.all(unsaid.map(([wave, lines]) => this.#write(wave, lines))).then(() => {
          resolve();
        }, reject);
      });
    });
    return this.#saying;
  }

  /** The lines of a wave from the given one on. */
  async read(wave: string, from: number): Promise<Line[]> {
    const read: Line[] = [];
    for (;;) {
      const lines = await this.#redis.lrange(wave, from + read.length, from + read.length + page - 1);
      for (const line of lines) read.push(JSON.parse(line) as Line);
      if (lines.length < page) return read;
    }
  }

  /** How many messages of a wave were published and not handled yet, about: one that is handled twice counts as two, and one that fails for good never counts. */
  async behind(wave: string): Promise<number> {
    const counts = await this.#redis.hmget(countsOf(wave), 'published', 'handled');
    const [published = 0, handled = 0] = counts.map(Number);
    return published - handled;
  }

  /** What kind of server it is, and its version. */
  async server(): Promise<string> {
    const about = await this.#redis.info('server');
    const [, kind = '', version = ''] = /^(valkey|redis)_version:(\S+)/m.exec(about) ?? [];
    return `${kind} ${version}`;
  }

  async forget(wave: string): Promise<void> {
    await this.#redis.del(wave, countsOf(wave));
  }

  close(): void {
    this.#redis.disconnect();
  }

  async #write(wave: string, lines: readonly Line[]): Promise<void> {
    const counted = (['published', 'handled'] as const).flatMap((what) => {
      const count = lines.filter((line) => line.what === what).length;
      return count === 0 ? [] : [this.#redis.hincrby(countsOf(wave), what, count)];
    });
    await Promise.all([this.#redis.rpush(wave, ...lines.map((line) => JSON.stringify(line))), ...counted]);
  }
}

const countsOf = (wave: string): string => `${wave}:counts`;
