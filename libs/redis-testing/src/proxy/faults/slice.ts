import { Fault } from './fault.js';

/** Cuts all traffic into packets of a few bytes, each of which arrives on its own. */
export class Slice extends Fault {
  readonly #bytes: number;

  constructor(bytes: number) {
    super();
    this.#bytes = bytes;
  }

  pieceBytes(): number {
    return this.#bytes;
  }

  pieceSent(): void {
    this.injected += 1;
  }
}
