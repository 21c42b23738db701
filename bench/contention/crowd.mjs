import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { now } from './clock.mjs';
import { Turns } from './turns.mjs';

const program = fileURLToPath(new URL('crowd-process.mjs', import.meta.url));
const processes = 2;
/** For an order to reach both processes before they start. */
const headStartMs = 30;

/**
 * What the workers of a crowd are to do.
 *
 * @typedef {object} Order
 * @property {string} locker
 * @property {string} key the one lock that all of them want
 * @property {number} workers in each process
 * @property {number} startAt on the clock that the processes share
 * @property {number | undefined} forMs how long they come again and again; without it each takes one turn
 * @property {number} holdMs for how long each holds the lock
 * @property {boolean | undefined} paced who has had a turn pauses like everybody else who asks again, before it comes again
 */

/**
 * Two processes full of workers that want the same lock. The first order may go out when `start` resolves; one at a time.
 */
export class Crowd {
  #children;

  constructor(children) {
    this.#children = children;
  }

  /** @param {string} url @param {string[]} lockers all that they will be asked to use, opened once */
  static async start(url, lockers) {
    const children = Array.from({ length: processes }, () => fork(program, [url, ...lockers]));
    const crowd = new Crowd(children);
    try {
      await Promise.all(children.map(answerOf));
      return crowd;
    } catch (error) {
      await crowd.stop();
      throw error;
    }
  }

  /**
   * @param {{ locker: string, key: string, workers: number, forMs?: number, holdMs: number, paced?: boolean }} order `workers` in all
   * @returns {Promise<{ turns: Turns, count: number, cpuMicros: number, calls: number | undefined }>} `count`: how often the lock was given, with those who came in too late
   *   for a turn; `cpuMicros` and system `calls` of both processes together
   */
  async run({ workers, ...order }) {
    const startAt = now() + headStartMs;
    const reports = await Promise.all(
      this.#children.map((child) => {
        const answer = answerOf(child);
        child.send({ ...order, workers: workers / processes, startAt });
        return answer;
      }),
    );
    const sum = (figure) => reports.reduce((total, report) => total + report[figure], 0);
    return {
      turns: new Turns(
        startAt,
        reports.flatMap(({ turns }) => turns),
      ),
      count: sum('served'),
      cpuMicros: sum('cpuMicros'),
      calls: reports[0].calls === undefined ? undefined : sum('calls'),
    };
  }

  async stop() {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = once(child, 'exit');
        if (child.connected) child.disconnect();
        await gone;
      }),
    );
  }
}

function answerOf(child) {
  return new Promise((resolve, reject) => {
    const ended = (code, signal) => settle(() => reject(new Error(`A worker process has ended (${signal ?? code}).`)));
    const answered = (message) =>
      settle(() => (message.failure === undefined ? resolve(message) : reject(new Error(message.failure))));
    const settle = (by) => {
      child.off('exit', ended);
      child.off('message', answered);
      by();
    };
    child.once('exit', ended);
    child.once('message', answered);
  });
}
