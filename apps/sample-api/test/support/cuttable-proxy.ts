import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A way to a server on loopback that can be cut, or can go silent. */
export interface CuttableProxy extends AsyncDisposable {
  readonly url: string;
  /** Breaks every connection, and refuses new ones from now on. */
  cut(): void;
  /** Lets nothing through any more, and says nothing of it. */
  hang(): void;
  /** How many bytes have been held back since {@link hang}. */
  readonly held: number;
}

export async function startCuttableProxy(to: string): Promise<CuttableProxy> {
  const target = new URL(to);
  const open = new Set<Socket>();
  let isCut = false;
  let hangs = false;
  let held = 0;
  const server = createServer((near) => {
    if (isCut) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(Number(target.port), target.hostname);
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        open.delete(from);
        into.destroy();
      });
      from.on('data', (bytes: Buffer) => {
        if (hangs) held += bytes.length;
        else into.write(bytes);
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The proxy has no port.');
  const url = new URL(to);
  url.port = String(address.port);
  const breakAll = () => {
    for (const socket of open) socket.resetAndDestroy();
  };
  return {
    url: url.href,
    cut() {
      isCut = true;
      breakAll();
    },
    hang() {
      hangs = true;
    },
    get held() {
      return held;
    },
    async [Symbol.asyncDispose]() {
      breakAll();
      server.close();
      await once(server, 'close');
    },
  };
}
