import { backgroundCall, type GroupMember } from './group.js';

interface Batch {
  readonly ids: string[];
  readonly sent: Promise<void>;
}

const largestBatch = 100;

/**
 * Acknowledges entries, those of one turn of the event loop in one XACK.
 *
 * A batch is *open* from its first id to the end of the turn, or until it is full; then it is *sent*, and settles for all its ids alike. To
 * acknowledge an entry again is harmless, so a batch of unknown outcome is repeated by its callers.
 */
export class Acknowledger {
  readonly #member: GroupMember;
  #open: Batch | undefined;

  constructor(member: GroupMember) {
    this.#member = member;
  }

  /** Resolves when the group does not count the entry as pending any more. */
  acknowledge(id: string): Promise<void> {
    const batch = (this.#open ??= this.#begin());
    batch.ids.push(id);
    if (batch.ids.length >= largestBatch) this.#open = undefined;
    return batch.sent;
  }

  #begin(): Batch {
    const ids: string[] = [];
    const batch: Batch = {
      ids,
      sent: new Promise<void>((resolve, reject) => {
        setImmediate(() => {
          if (this.#open === batch) this.#open = undefined;
          this.#send(ids).then(resolve, reject);
        });
      }),
    };
    return batch;
  }

  async #send(ids: readonly string[]): Promise<void> {
    const { connection, keys, consumer } = this.#member;
    await connection.call(backgroundCall(this.#member, 'acknowledge'), (client) =>
      client.xack(keys.stream, consumer.group, ...ids),
    );
  }
}
