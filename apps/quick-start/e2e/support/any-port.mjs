/**
 * Loaded in front of a program that listens on port 3000: gives it a free one and prints which. The program itself stays word for word what the
 * README says.
 */
import { Server } from 'node:net';

const { listen } = Server.prototype;

Server.prototype.listen = function listenAnywhere(port, ...rest) {
  if (Number(port) !== 3000) throw new Error(`expected to listen on port 3000, not on ${String(port)}`);
  this.once('listening', () => console.log(`listening on port ${this.address().port}`));
  return listen.call(this, 0, '127.0.0.1', ...rest.filter((argument) => typeof argument === 'function'));
};
