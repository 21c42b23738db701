import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { resetSocket } from '../../src/proxy/reset-socket.js';

describe('a reset', () => {
  it.each([
    ['of an open connection', (): void => undefined, 'ECONNRESET'],
    ['of one whose end is on its way', (socket: Socket): void => void socket.end(), undefined],
  ])('%s lets go of the socket', async (_, before, seen) => {
    const errors: (string | undefined)[] = [];
    const listener = createServer((socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code)).resume();
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const address = listener.address();
    if (address === null || typeof address === 'string') throw new Error('A listening TCP server has a port.');
    const accepted = once(listener, 'connection');
    const socket = connect(address.port, '127.0.0.1');
    const refused: unknown[] = [];
    socket.on('error', (error) => refused.push(error));
    await Promise.all([once(socket, 'connect'), accepted]);
    before(socket);
    await new Promise(process.nextTick); // The end has been handed to the system, and not been carried out.
    resetSocket(socket);
    await once(socket, 'close');
    await new Promise((resolve) => listener.close(resolve)); // When the other side has gone, too.
    expect(refused).toEqual([]);
    expect(errors).toEqual(seen === undefined ? [] : [seen]);
  });
});
