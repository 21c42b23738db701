import type { RedisServer } from '@redstart/redis-testing';
import type { QueueEvent } from '../checker/check-queue.js';
import { MonitorFeed, type Observed } from './monitor-feed.js';

const mark = 'chaos';

/** Follows, by MONITOR, what one server does to its locks, in the server's own order. */
export class QueueMonitor {
  readonly history: QueueEvent[] = [];
  #feed: MonitorFeed | undefined;
  #server: RedisServer | undefined;
  #marks = 0;
  readonly #awaited = new Map<string, () => void>();

  /** Begins to watch a server; what happened before, or was missed since the last one went away, is unknown. */
  async watch(server: RedisServer): Promise<void> {
    this.close();
    this.history.push({ at: 0, what: 'gap' });
    this.#server = server;
    this.#feed = await MonitorFeed.open(server, (command) => {
      this.#note(command);
    });
  }

  /** From this moment of the server's on, these processes can hear of a lock, or can't. */
  async tell(what: 'deaf' | 'hears', pids: readonly number[]): Promise<void> {
    if (pids.length > 0) await this.#mark(what, ...pids.map(String));
  }

  /** The history has come as far as to what the server has done by now. */
  async upToDate(): Promise<void> {
    await this.#mark('now');
  }

  close(): void {
    this.#feed?.close();
    this.#feed = undefined;
  }

  /** Lets the server itself put a mark between what it does. */
  async #mark(...words: string[]): Promise<void> {
    const text = [mark, ++this.#marks, ...words].join(' ');
    const seen = new Promise<void>((resolve) => this.#awaited.set(text, resolve));
    await this.#server?.ask((redis) => redis.echo(text));
    const unseen = this.#feed?.ended.then(() => {
      throw new Error('The server that is watched has gone.');
    });
    await Promise.race([seen, unseen]);
  }

  #note({ at, args, byScript }: Observed): void {
    const [command = '', key = '', ...rest] = args;
    switch (command.toUpperCase()) {
      case 'EVALSHA':
      case 'EVAL':
        this.history.push({ at, what: 'call', args });
        break;
      case 'ECHO':
        this.#noteMark(at, key);
        break;
      case 'FLUSHALL':
        this.history.push({ at, what: 'gap' });
        break;
      default:
        if (byScript) this.#noteChange(at, command.toUpperCase(), key, rest);
    }
  }

  #noteChange(at: number, command: string, key: string, rest: readonly string[]): void {
    const queue = /^(.*):queue$/.exec(key)?.[1];
    if (queue !== undefined) {
      if (command === 'RPUSH') this.history.push({ at, what: 'queued', key: queue, owner: rest[0] ?? '' });
      if (command === 'LREM') this.history.push({ at, what: 'left', key: queue, owner: rest[1] ?? '' });
    } else if (command === 'PUBLISH' || command === 'SPUBLISH') {
      this.history.push({ at, what: 'offered', key, owner: rest[0]?.split(' ')[0] ?? '' });
    } else if (command === 'SET' && key.endsWith('}')) {
      this.history.push({ at, what: 'granted', key, owner: rest[0] ?? '' });
    }
  }

  #noteMark(at: number, text: string): void {
    const [first, , word, ...pids] = text.split(' ');
    if (first !== mark) return;
    if (word === 'deaf' || word === 'hears') {
      for (const pid of pids) this.history.push({ at, what: word, pid: Number(pid) });
    }
    this.#awaited.get(text)?.();
    this.#awaited.delete(text);
  }
}
