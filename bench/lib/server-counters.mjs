import { Redis } from 'ioredis';

/** The server's own account of its work: processor time, bytes, and the commands that clients sent or that scripts ran. */
export class ServerCounters {
  #redis;

  constructor(url) {
    this.#redis = new Redis(url);
  }

  /** Processor time of the server until now, in microseconds. */
  async cpuMicros() {
    const text = await this.#redis.info('cpu');
    return (field(text, 'used_cpu_sys') + field(text, 'used_cpu_user')) * 1e6;
  }

  /**
   * Bytes that `work` caused in either direction, all connections together. The cost of asking is measured first and taken off.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<{ result: T, toServer: number, fromServer: number }>}
   */
  async bytesOf(work) {
    const first = await this.#bytes();
    const before = await this.#bytes();
    const result = await work();
    const after = await this.#bytes();
    const asking = { toServer: before.toServer - first.toServer, fromServer: before.fromServer - first.fromServer };
    return {
      result,
      toServer: after.toServer - before.toServer - asking.toServer,
      fromServer: after.fromServer - before.fromServer - asking.fromServer,
    };
  }

  /**
   * The commands that `work` caused, by name: those that came over the network, and those that scripts ran. By MONITOR, which costs the server a lot, so time
   * nothing meanwhile.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<{ result: T, sent: Map<string, number>, inScripts: Map<string, number> }>}
   */
  async commandsOf(work) {
    const monitor = await this.#redis.monitor();
    const sent = new Map();
    const inScripts = new Map();
    const end = `end of ${Math.random()}`;
    const ended = new Promise((resolve) => {
      monitor.on('monitor', (_time, [name, argument], source) => {
        if (argument === end) resolve();
        else {
          const counts = source === 'lua' ? inScripts : sent;
          counts.set(name.toUpperCase(), (counts.get(name.toUpperCase()) ?? 0) + 1);
        }
      });
    });
    const result = await work();
    await this.#redis.echo(end);
    await ended;
    monitor.disconnect();
    return { result, sent, inScripts };
  }

  async #bytes() {
    const text = await this.#redis.info('stats');
    return { toServer: field(text, 'total_net_input_bytes'), fromServer: field(text, 'total_net_output_bytes') };
  }

  close() {
    this.#redis.disconnect();
  }
}

function field(text, name) {
  return Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(text)?.[1]);
}
