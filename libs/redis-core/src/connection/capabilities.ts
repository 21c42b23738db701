import { isCluster, mastersOf } from './cluster.js';
import { RedisUnavailableError } from '../redis.errors.js';
import type { RedisClient } from '../redis.options.js';

/**
 * What the server behind a connection can do, asked by COMMAND INFO.
 *
 * Versions tell nothing: Valkey 9 reports `redis_version:7.2.4`, and managed services take commands away. Answers are kept until the
 * connection breaks, since the next server may be another one.
 */
export class Capabilities {
  readonly #known = new Map<string, Promise<boolean>>();

  readonly #forget = () => {
    this.#known.clear();
  };

  constructor(private readonly client: RedisClient) {
    client.on('close', this.#forget);
    if (isCluster(client)) client.on('-node', this.#forget).on('+node', this.#forget);
  }

  /** Leaves a client alone that lives on, such as one of the user's. */
  stop(): void {
    this.client.off('close', this.#forget);
    if (isCluster(this.client)) this.client.off('-node', this.#forget).off('+node', this.#forget);
  }

  /**
   * Whether every server that can be asked knows `command`.
   * @throws what asking failed with, when there was none to ask: that is no answer about the command
   */
  has(command: string): Promise<boolean> {
    const name = command.toLowerCase();
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const asked = this.#ask(name).catch((error: unknown) => {
      this.#known.delete(name);
      throw error;
    });
    this.#known.set(name, asked);
    return asked;
  }

  async #ask(name: string): Promise<boolean> {
    const answers = await Promise.allSettled(
      mastersOf(this.client).map((server) => server.call('COMMAND', 'INFO', name)),
    );
    const given = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    if (given.length === 0) {
      const [failed] = answers;
      if (failed?.status === 'rejected') throw failed.reason;
      throw new RedisUnavailableError(`No master is known that could be asked about ${name}.`, 'not-executed');
    }
    return given.every((answer) => Array.isArray(answer) && Array.isArray(answer[0]));
  }
}
