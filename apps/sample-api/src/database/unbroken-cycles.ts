import type { PGlite } from '@electric-sql/pglite';

const query = (text: string): Buffer => {
  const content = Buffer.from(`${text}\0`);
  const head = Buffer.from('Q\0\0\0\0');
  head.writeInt32BE(4 + content.length, 1);
  return Buffer.concat([head, content]);
};
const SYNC = Buffer.from('S\0\0\0\u0004');
const [TERMINATE] = Buffer.from('X');
/** Parse, Bind, Describe, Execute, Close: more of the same cycle follows, up to its Sync. */
const BEGIN_A_CYCLE = new Set(Buffer.from('PBDEC'));

/**
 * Undoes whatever a client left open. A ROLLBACK is ignored behind an error that was not synced yet, and a Sync commits what no error has stopped; so first the one,
 * then the other, then the ROLLBACK for the transaction that the first one could not reach. One too many is a warning that nobody reads.
 */
const ABANDON = Buffer.concat([query('ROLLBACK'), SYNC, query('ROLLBACK')]);

/**
 * The engine of a socket server, with each client's cycle of messages (Parse, Bind, Describe, Execute … Sync) kept in one piece.
 *
 * The socket server takes a client's messages one by one, and changes clients between any two unless a transaction is open. All clients share one session, so another
 * client's Parse between our Parse and our Bind would have our parameters run in its statement. A cycle is therefore reported as a transaction: it *opens* with
 * the first message that has to be synced, holds everyone else back, and *closes* when the engine says that it is ready for a query, or its client is gone: by Terminate,
 * or by a broken connection, for which the socket server calls `exec('ROLLBACK')`. What a client leaves behind that way is undone.
 *
 * @param onCrash the engine has ended (`COPY … FROM STDIN` does that to it); it answers nothing any more
 */
export function withUnbrokenCycles(engine: PGlite, onCrash: (error: unknown) => void): PGlite {
  let cycleIsOpen = false;
  let hasCrashed = false;

  const run: PGlite['execProtocolRawStream'] = async (message, options) => {
    try {
      await engine.execProtocolRawStream(message, options);
    } catch (error) {
      hasCrashed = true;
      onCrash(error);
      throw error;
    }
  };
  const isInTransaction = () => !hasCrashed && (cycleIsOpen || engine.isInTransaction());
  const abandon = async (): Promise<void> => {
    await run(ABANDON, { onRawData: () => undefined });
    cycleIsOpen = false;
  };

  const own: Partial<PGlite> = {
    isInTransaction,
    async execProtocolRawStream(message, options) {
      const [type = 0] = message;
      if (type === TERMINATE) {
        if (isInTransaction()) await abandon();
        return;
      }
      let end = Buffer.alloc(0);
      await run(message, {
        ...options,
        onRawData(chunk) {
          end = Buffer.concat([end, chunk.subarray(-READY_LENGTH)]).subarray(-READY_LENGTH);
          options.onRawData(chunk);
        },
      });
      if (isReadyForQuery(end)) cycleIsOpen = false;
      else if (BEGIN_A_CYCLE.has(type)) cycleIsOpen = true;
    },
    async exec() {
      await engine.runExclusive(abandon);
      return [];
    },
  };
  return new Proxy(engine, {
    get(target, name) {
      if (name in own) return Reflect.get(own, name) as unknown;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** ReadyForQuery: `Z`, its length, and the state of the transaction (idle, in one, in a failed one). Nothing else that ends an answer looks like it. */
const READY_FOR_QUERY = /^Z\0\0\0\u0005[ITE]$/;
const READY_LENGTH = 6;

const isReadyForQuery = (message: Buffer): boolean => READY_FOR_QUERY.test(message.toString('latin1'));
