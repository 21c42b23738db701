import { connect } from 'node:net';

const endOfHead = '\r\n\r\n';

/**
 * Asks an HTTP server over connections that stay open, one request at a time on each.
 *
 * It writes requests that were made beforehand and looks in an answer for its status and its end only, so that it takes a fraction of the time that the
 * server takes: with a real HTTP client on the same machine, that client is what one would measure.
 */
export class HttpLoad {
  #sockets;
  #port;

  constructor(port, sockets) {
    this.#port = port;
    this.#sockets = sockets;
  }

  static async open(port, connections) {
    const sockets = await Promise.all(Array.from({ length: connections }, () => opened(port)));
    return new HttpLoad(port, sockets);
  }

  /** A request as it goes over the wire. */
  request(path, headers = {}) {
    const fields = Object.entries({ host: `127.0.0.1:${this.#port}`, ...headers });
    return Buffer.from(`GET ${path} HTTP/1.1\r\n${fields.map((field) => field.join(': ')).join('\r\n')}${endOfHead}`);
  }

  /**
   * @param {readonly Buffer[]} requests sent in turn
   * @param {{ count: number } | { ms: number }} until
   * @returns {Promise<{ count: number, seconds: number }>}
   * @throws Error when an answer is another one than 200
   */
  async run(requests, { count = Infinity, ms = Infinity }) {
    const startedAt = performance.now();
    let asked = 0;
    const next = () => {
      if (asked >= count || performance.now() - startedAt >= ms) return undefined;
      return requests[asked++ % requests.length];
    };
    await Promise.all(this.#sockets.map((socket) => askInTurn(socket, next)));
    return { count: asked, seconds: (performance.now() - startedAt) / 1000 };
  }

  close() {
    for (const socket of this.#sockets) socket.destroy();
  }
}

function opened(port) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.once('error', reject);
  });
}

function askInTurn(socket, next) {
  return new Promise((resolve, reject) => {
    let answer = '';
    const stop = (settle, reason) => {
      socket.off('data', onData);
      socket.off('close', onClose);
      settle(reason);
    };
    const ask = () => {
      const request = next();
      if (request === undefined) stop(resolve);
      else socket.write(request);
    };
    const onData = (text) => {
      answer = answer === '' ? text : answer + text;
      const bodyAt = answer.indexOf(endOfHead) + endOfHead.length;
      if (bodyAt < endOfHead.length) return;
      const length = /\r\ncontent-length: (\d+)\r\n/i.exec(answer)?.[1];
      if (!answer.startsWith('HTTP/1.1 200 ') || length === undefined) {
        stop(reject, new Error(`The server answered: ${answer.slice(0, 300)}`));
      } else if (answer.length >= bodyAt + Number(length)) {
        answer = '';
        ask();
      }
    };
    const onClose = () => stop(reject, new Error('The server has closed a connection.'));
    socket.on('data', onData);
    socket.once('close', onClose);
    ask();
  });
}
