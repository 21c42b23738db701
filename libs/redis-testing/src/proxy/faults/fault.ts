/** From the client to the server, or back. */
export type Way = 'request' | 'reply';

/**
 * A fault that has been injected into a proxy, to be counted and ended.
 *
 * @example
 * const lost = proxy.dropReply('SET', { thenReset: true });
 * ...
 * expect(lost.injected).toBe(1); // the test proves nothing otherwise
 */
export interface FaultHandle extends Disposable {
  /** How often the fault struck: the packets delayed, held or cut up, the replies dropped, the connections reset or refused. */
  readonly injected: number;
  /** Ends the fault; what it has done stays done. Safe to call twice. */
  stop(): void;
}

/** The reply of one command, claimed by a fault. */
export interface LostReply {
  /** Whether the fault still wants it. */
  readonly wanted: boolean;
  readonly thenReset: boolean;
  /** The reply has been swallowed. */
  swallowed(): void;
  /** The connection ended before the reply came; the fault may claim another one. */
  giveBack(): void;
}

/** The points at which a connection asks whether something is to go wrong. A fault answers those that concern it. */
export interface FaultPoints {
  /** A client connects: is it turned away? */
  refuses?(): boolean;
  /** A packet has come: how long is it delayed, in ms? */
  delayMs?(way: Way): number;
  /** A packet is due: is it held, and until when? */
  heldUntil?(way: Way): Promise<void> | undefined;
  /** A packet is forwarded: into pieces of how many bytes? */
  pieceBytes?(): number;
  /** A piece has been sent on its own. */
  pieceSent?(): void;
  /** A command goes to the server: is its reply to be lost? */
  claimReply?(command: string): LostReply | undefined;
  /** A command has gone to the server: is the connection cut behind it? */
  cutsBehind?(command: string): boolean;
}

/** A fault is active from its construction until `stop()`. */
export abstract class Fault implements FaultHandle {
  injected = 0;
  #active = true;

  get active(): boolean {
    return this.#active;
  }

  stop(): void {
    if (!this.#active) return;
    this.#active = false;
    this.ended();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  /** For what has to happen at the end. */
  protected ended(): void {
    // most faults only cease
  }
}
