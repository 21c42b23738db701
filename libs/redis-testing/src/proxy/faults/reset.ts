import { Fault } from './fault.js';

/** Resets what is open at this moment; it is over as soon as it has been injected. */
export class Reset extends Fault {
  constructor(connections: number) {
    super();
    this.injected = connections;
    this.stop();
  }
}

/** Passes the next commands of one name to the server and resets the client's connection behind each. */
export class ResetAfterCommand extends Fault {
  readonly #command: string;

  readonly #times: number;

  constructor(command: string, times: number) {
    super();
    this.#times = times;
    this.#command = command.toUpperCase();
  }

  cutsBehind(command: string): boolean {
    if (command !== this.#command || this.injected === this.#times) return false;
    this.injected += 1;
    return true;
  }
}
