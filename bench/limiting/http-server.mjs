import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('http-server-process.mjs', import.meta.url));

/** The application of `http-server-process.mjs`, in a process of its own. */
export class HttpServer {
  #process;
  port;

  constructor(process, port) {
    this.#process = process;
    this.port = port;
  }

  static async start(url) {
    const process = fork(program, [url], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const { port } = await nextMessage(process);
    return new HttpServer(process, port);
  }

  /** Processor time of the server's process until now, in microseconds. */
  async cpuMicros() {
    const told = nextMessage(this.#process);
    this.#process.send('cpu');
    return (await told).cpuMicros;
  }

  async stop() {
    const ended = once(this.#process, 'exit');
    this.#process.disconnect();
    await ended;
  }
}

async function nextMessage(process) {
  const given = new AbortController();
  try {
    const ended = once(process, 'exit', { signal: given.signal }).then(([code]) => {
      throw new Error(`The HTTP server has ended with ${code}.`);
    });
    const [message] = await Promise.race([once(process, 'message', { signal: given.signal }), ended]);
    return message;
  } finally {
    given.abort();
  }
}
