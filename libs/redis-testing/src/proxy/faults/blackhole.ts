import { Fault } from './fault.js';

/**
 * Lets nothing through in either way, not even the end of a connection, and gives no sign of it. What was sent is held
 * and delivered when the fault ends, as TCP does after a partition: a late command may still be carried out.
 */
export class Blackhole extends Fault {
  #release: () => void = () => undefined;
  readonly #released = new Promise<void>((resolve) => {
    this.#release = resolve;
  });

  heldUntil(): Promise<void> {
    this.injected += 1;
    return this.#released;
  }

  protected override ended(): void {
    this.#release();
  }
}
