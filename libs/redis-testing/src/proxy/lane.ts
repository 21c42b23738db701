import type { Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { ActiveFaults } from './faults/active-faults.js';
import type { Way } from './faults/fault.js';

/** How a connection ended: by FIN, or by RST or an error. */
export type Ending = 'fin' | 'reset';

/** Beyond this the source is no longer read, so a held or slow connection costs bounded memory. */
const HIGH_WATER_BYTES = 16 * 1024 * 1024;

interface Cargo {
  readonly load: Buffer | Ending;
  readonly due: number;
}

/** Where a lane delivers. */
export interface Destination {
  /** Resolves when more may come. */
  deliver(bytes: Buffer): Promise<void> | undefined;
  end(ending: Ending): void;
}

/**
 * One way of one connection. What comes from `source` queues up in order, waits for its delay and for whoever holds it,
 * and goes on, in pieces if a fault says so. The end of the connection travels in the same queue, so it never
 * overtakes bytes. `close()` throws away what is left.
 */
export class Lane {
  readonly #queue: Cargo[] = [];
  readonly #closed = new AbortController();
  #queuedBytes = 0;
  #lastDue = 0;
  #pumping = false;

  readonly #way: Way;
  readonly #source: Socket;
  readonly #destination: Destination;
  readonly #faults: ActiveFaults;

  constructor(way: Way, source: Socket, destination: Destination, faults: ActiveFaults) {
    this.#way = way;
    this.#source = source;
    this.#destination = destination;
    this.#faults = faults;
    source.setNoDelay(true);
    source.on('data', (bytes) => {
      this.#take(bytes, this.#faults.delayMs(way));
    });
    source.once('end', () => {
      this.#take('fin', 0);
    });
    source.on('error', () => {
      // 'close' follows and says that there was one
    });
    source.once('close', (hadError) => {
      if (hadError) this.#take('reset', 0);
    });
  }

  close(): void {
    this.#closed.abort();
    this.#queue.length = 0;
  }

  #take(load: Buffer | Ending, delayMs: number): void {
    if (this.#closed.signal.aborted) return;
    this.#lastDue = Math.max(this.#lastDue, performance.now() + delayMs);
    this.#queue.push({ load, due: this.#lastDue });
    this.#queuedBytes += load.length;
    if (this.#queuedBytes > HIGH_WATER_BYTES) this.#source.pause();
    if (!this.#pumping) void this.#pump();
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    try {
      for (let cargo = this.#queue[0]; cargo !== undefined; cargo = this.#queue[0]) {
        await this.#waitFor(cargo);
        await this.#forward(cargo.load);
        this.#queue.shift();
        this.#queuedBytes -= cargo.load.length;
        if (this.#queuedBytes <= HIGH_WATER_BYTES) this.#source.resume();
      }
    } catch (error) {
      if (!this.#closed.signal.aborted) throw error;
    } finally {
      this.#pumping = false;
    }
  }

  async #waitFor({ due }: Cargo): Promise<void> {
    const { signal } = this.#closed;
    // A timer may fire up to 1 ms early.
    for (let left = due - performance.now(); left > 0; left = due - performance.now()) {
      await sleep(Math.ceil(left), undefined, { signal });
    }
    for (let held = this.#faults.heldUntil(this.#way); held; held = this.#faults.heldUntil(this.#way)) {
      await Promise.race([held, aborted(signal)]);
      signal.throwIfAborted();
    }
  }

  async #forward(load: Buffer | Ending): Promise<void> {
    if (typeof load === 'string') {
      this.#destination.end(load);
      return;
    }
    for (let at = 0; at < load.length;) {
      const size = this.#faults.pieceBytes();
      const piece = load.subarray(at, at + size);
      at += piece.length;
      await this.#destination.deliver(piece);
      if (size === Infinity) continue;
      this.#faults.pieceSent();
      await nextTurn(undefined, { signal: this.#closed.signal }); // so that the receiver reads it on its own
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
}
