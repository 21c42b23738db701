import type { Socket } from 'node:net';

/**
 * Breaks a connection by RST.
 *
 * While a FIN is on its way the system can't do that, and Node would leave the socket open for ever and never exit: such a socket is closed at once instead, and
 * what the other side still sends is answered by a RST all the same.
 */
export function resetSocket(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}
