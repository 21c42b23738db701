import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/**
 * A way to a server on loopback that can be cut, or can go silent and let through later what it has held.
 *
 * It holds bytes as a network does: also those of a client that has gone meanwhile reach the server, and the end of its connection comes behind them.
 */
export interface FaultyProxy extends AsyncDisposable {
  readonly url: string;
  /** Breaks every connection, and refuses new ones from now on. */
  cut(): void;
  /** Lets nothing through any more, and says nothing of it. */
  hang(): void;
  /** The same, on the connection on which a client says one of these next, from there on; once for each. Others go on. */
  hangAt(...said: string[]): void;
  /** How many bytes have been held back. */
  readonly held: number;
  /** Lets through what was held, and everything after it. */
  release(): void;
}

/** One connection, near to the client and far to the server. */
interface Line {
  hangs: boolean;
  /** What happens when it is let through, in its order. */
  readonly held: (() => void)[];
  readonly sockets: readonly Socket[];
}

export async function startFaultyProxy(to: string): Promise<FaultyProxy> {
  const target = new URL(to);
  const lines = new Set<Line>();
  let isCut = false;
  let allHang = false;
  let hangsAt: readonly string[] = [];
  let held = 0;

  const carry = (line: Line, bytes: number, deliver: () => void) => {
    if (!line.hangs && !allHang) {
      deliver();
      return;
    }
    held += bytes;
    line.held.push(deliver);
  };
  const server = createServer((near) => {
    if (isCut) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(Number(target.port), target.hostname);
    const line: Line = { hangs: false, held: [], sockets: [near, far] };
    lines.add(line);
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => undefined);
      from.on('close', () => {
        carry(line, 0, () => {
          lines.delete(line);
          into.end();
          into.destroySoon();
        });
      });
      from.on('data', (bytes: Buffer) => {
        const heard = from === near ? hangsAt.filter((said) => bytes.includes(said)) : [];
        if (heard.length > 0) {
          hangsAt = hangsAt.filter((said) => !heard.includes(said));
          line.hangs = true;
        }
        carry(line, bytes.length, () => {
          if (into.writable) into.write(bytes);
        });
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The proxy has no port.');
  const url = new URL(to);
  url.port = String(address.port);
  const breakAll = () => {
    for (const line of lines) {
      for (const socket of line.sockets) {
        // Node can't reset a socket whose end is on its way, and would never let go of it.
        if (socket.writableEnded) socket.destroy();
        else socket.resetAndDestroy();
      }
    }
    lines.clear();
  };
  return {
    url: url.href,
    cut() {
      isCut = true;
      breakAll();
    },
    hang() {
      allHang = true;
    },
    hangAt(...said) {
      hangsAt = said;
    },
    get held() {
      return held;
    },
    release() {
      allHang = false;
      for (const line of lines) {
        line.hangs = false;
        for (const deliver of line.held.splice(0)) deliver();
      }
    },
    async [Symbol.asyncDispose]() {
      breakAll();
      server.close();
      await once(server, 'close');
    },
  };
}
