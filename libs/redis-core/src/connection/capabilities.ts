import { isCluster, mastersOf } from './cluster.js';
import type { RedisClient } from '../redis.options.js';

/**
 * What the server behind a connection can do, asked by COMMAND INFO.
 *
 * Versions tell nothing: Valkey 9 reports `redis_version:7.2.4`, and managed services take commands away. Answers are kept until the
 * connection breaks, since the next server may be another one.
 */
export class Capabilities {
  readonly #known = new Map<string, Promise<boolean>>();

  constructor(private readonly client: RedisClient) {
    const forget = () => {
      this.#known.clear();
    };
    client.on('close', forget);
    if (isCluster(client)) client.on('-node', forget).on('+node', forget);
  }

  /** Whether every server behind the connection knows `command`. A server that can't be asked counts as one that does not. */
  has(command: string): Promise<boolean> {
    const name = command.toLowerCase();
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const asked = this.#ask(name).catch(() => {
      // Not an answer about the command: ask again next time.
      this.#known.delete(name);
      return false;
    });
    this.#known.set(name, asked);
    return asked;
  }

  async #ask(name: string): Promise<boolean> {
    const answers = await Promise.all(mastersOf(this.client).map((server) => server.call('COMMAND', 'INFO', name)));
    return answers.length > 0 && answers.every((answer) => Array.isArray(answer) && Array.isArray(answer[0]));
  }
}
