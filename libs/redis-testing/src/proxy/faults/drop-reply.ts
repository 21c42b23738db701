import { Fault, type LostReply } from './fault.js';

/** How {@link FaultProxy.dropReply} strikes. */
export interface DropReplyOptions {
  /** How many replies are dropped. @default 1 */
  times?: number;
  /** Reset the connection in place of the reply. @default false: the connection stays open and silent */
  thenReset?: boolean;
}

/** Swallows the replies of the next commands of one name, each of which the server has carried out by then. */
export class DropReply extends Fault {
  readonly #command: string;
  readonly #thenReset: boolean;
  #left: number;

  constructor(command: string, { times = 1, thenReset = false }: DropReplyOptions) {
    super();
    this.#command = command.toUpperCase();
    this.#thenReset = thenReset;
    this.#left = times;
  }

  claimReply(command: string): LostReply | undefined {
    if (command !== this.#command || this.#left === 0) return undefined;
    this.#left -= 1;
    const isWanted = () => this.active;
    return {
      thenReset: this.#thenReset,
      get wanted() {
        return isWanted();
      },
      swallowed: () => {
        this.injected += 1;
      },
      giveBack: () => {
        this.#left += 1;
      },
    };
  }
}
