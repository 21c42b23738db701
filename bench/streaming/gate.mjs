/**
 * Where consumers wait while a backlog is being written, so that only its consumption is timed: shut, it keeps every handler that begins; opened, it lets them go on and counts
 * how many have passed.
 */
export class Gate {
  #opening;
  #open = () => undefined;
  #left = 0;
  #done = () => undefined;

  /** Called by a handler; waits only while the gate is shut. */
  pass() {
    if (this.#opening !== undefined) return this.#opening.then(() => this.#count());
    this.#count();
    return undefined;
  }

  shut() {
    this.#opening ??= new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  /** Resolves when so many have passed. */
  open(count) {
    this.#left = count;
    const passed = new Promise((resolve) => {
      this.#done = resolve;
    });
    this.#opening = undefined;
    this.#open();
    return passed;
  }

  #count() {
    this.#left -= 1;
    if (this.#left === 0) this.#done();
  }
}
