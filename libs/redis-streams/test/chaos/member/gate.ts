/** Open from the start; while it is shut everybody waits. */
export class Gate {
  #isOpen = true;
  readonly #waiting = new Map<string, (() => void)[]>();
  #arrived: () => void = () => undefined;

  open(): void {
    this.#isOpen = true;
    const waiting = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    for (const pass of waiting) pass();
    this.#arrived();
  }

  shut(): void {
    this.#isOpen = false;
  }

  /** @param stream whose message waits */
  async opened(stream: string): Promise<void> {
    if (this.#isOpen) return;
    await new Promise<void>((pass) => {
      this.#waiting.set(stream, [...(this.#waiting.get(stream) ?? []), pass]);
      this.#arrived();
    });
  }

  /** Resolves when messages of all these streams wait, or it is open. */
  async holds(...streams: string[]): Promise<void> {
    while (!this.#isOpen && !streams.every((stream) => this.#waiting.has(stream))) {
      await new Promise<void>((arrived) => (this.#arrived = arrived));
    }
  }
}
