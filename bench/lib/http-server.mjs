import { fork } from 'node:child_process';
import { once } from 'node:events';

/** An application in a process of its own, which tells its port and its processor time. */
export class HttpServer {
  #process;
  port;

  constructor(process, port) {
    this.#process = process;
    this.port = port;
  }

  /** @param {URL} program */
  static async start(program, url) {
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

/** Requests for a while, and what one of them took of the application, of Redis and of this process. */
export async function httpSlice(run, { server, counters }) {
  const [appBefore, redisBefore, loadBefore] = [
    await server.cpuMicros(),
    await counters.cpuMicros(),
    process.cpuUsage(),
  ];
  const { count, seconds } = await run();
  const { user, system } = process.cpuUsage(loadBefore);
  return {
    perSecond: count / seconds,
    loadCpuMicros: (user + system) / count,
    appCpuMicros: ((await server.cpuMicros()) - appBefore) / count,
    redisCpuMicros: ((await counters.cpuMicros()) - redisBefore) / count,
  };
}
