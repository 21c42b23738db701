import { Fault } from './fault.js';

/** Turns every new connection away with a reset, after having reset the open ones. */
export class Refuse extends Fault {
  constructor(connectionsReset: number) {
    super();
    this.injected = connectionsReset;
  }

  refuses(): boolean {
    this.injected += 1;
    return true;
  }
}
