import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger } from '../ledger/ledger.js';
import { machineNow } from '../ledger/line.js';

const everyMs = 50;
/** A shorter one takes no lease away. */
const lapseMs = 400;
/** The list of the ledger where lapses are told, those of all members and waves. */
export const lapses = 'lapses';

/** Tells when this process stood still, stopped by SIGSTOP or starved by others: nobody can keep a lease meanwhile. From now on, for as long as it lives. */
export function watchStalls(name: string, ledger: Ledger): void {
  let last = machineNow();
  setInterval(() => {
    const now = machineNow();
    if (now - last > lapseMs) void ledger.say(lapses, { what: 'stalled', by: name, from: last, at: now });
    last = now;
  }, everyMs).unref();
}

/** Tells when this process was not answered by Redis: it could renew no lease meanwhile, whatever the reason. From construction to `stop`. */
export class CutOffWatch {
  readonly #stopped = new AbortController();
  #answered: () => void = () => undefined;
  #next: Promise<void>;

  /** @param ask sends a command with several keys to the Redis under fault, as scripts do: one key alone is answered also while its slot moves */
  constructor(
    private readonly name: string,
    private readonly ledger: Ledger,
    private readonly ask: () => Promise<unknown>,
  ) {
    this.#next = this.#expect();
    void this.#watch();
  }

  /** Resolves when Redis has answered once more, and what that has shown is in the ledger. */
  answered(): Promise<void> {
    return this.#next;
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #watch(): Promise<void> {
    for (let last = machineNow(); !this.#stopped.signal.aborted;) {
      const isAnswered = await this.ask().then(
        () => true,
        () => false,
      );
      if (isAnswered) last = await this.#heard(last);
      await sleep(everyMs);
    }
  }

  async #heard(last: number): Promise<number> {
    const now = machineNow();
    const { name } = this;
    if (now - last > lapseMs) await this.ledger.say(lapses, { what: 'cut off', by: name, from: last, at: now });
    const tell = this.#answered;
    this.#next = this.#expect();
    tell();
    return now;
  }

  #expect(): Promise<void> {
    return new Promise((answered) => {
      this.#answered = answered;
    });
  }
}
