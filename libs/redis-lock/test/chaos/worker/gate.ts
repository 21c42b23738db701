/** Shut from the start; lets everybody through while it is open. */
export class Gate {
  #isOpen = false;
  #waiting: (() => void)[] = [];

  open(): void {
    this.#isOpen = true;
    for (const pass of this.#waiting.splice(0)) pass();
  }

  close(): void {
    this.#isOpen = false;
  }

  async opened(): Promise<void> {
    if (this.#isOpen) return;
    await new Promise<void>((pass) => this.#waiting.push(pass));
  }
}
