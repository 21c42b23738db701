import type { Fault, FaultPoints, LostReply, Way } from './fault.js';

/** The faults of one proxy, asked as if they were one. */
export class ActiveFaults implements FaultPoints {
  readonly #faults = new Set<Fault & FaultPoints>();

  add<T extends Fault & FaultPoints>(fault: T): T {
    this.#faults.add(fault);
    return fault;
  }

  refuses(): boolean {
    return this.#active().some((fault) => fault.refuses?.() === true);
  }

  delayMs(way: Way): number {
    return this.#active().reduce((sum, fault) => sum + (fault.delayMs?.(way) ?? 0), 0);
  }

  heldUntil(way: Way): Promise<void> | undefined {
    const holds = this.#active().flatMap((fault) => fault.heldUntil?.(way) ?? []);
    return holds.length === 0 ? undefined : Promise.all(holds).then(() => undefined);
  }

  pieceBytes(): number {
    return Math.min(...this.#active().map((fault) => fault.pieceBytes?.() ?? Infinity));
  }

  pieceSent(): void {
    for (const fault of this.#active()) fault.pieceSent?.();
  }

  claimReply(command: string): LostReply | undefined {
    for (const fault of this.#active()) {
      const lost = fault.claimReply?.(command);
      if (lost !== undefined) return lost;
    }
    return undefined;
  }

  cutsBehind(command: string): boolean {
    return this.#active().some((fault) => fault.cutsBehind?.(command) === true);
  }

  stopAll(): void {
    for (const fault of this.#faults) fault.stop();
    this.#faults.clear();
  }

  #active(): (Fault & FaultPoints)[] {
    for (const fault of this.#faults) if (!fault.active) this.#faults.delete(fault);
    return [...this.#faults];
  }
}
