import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServerNotRunningError, ServerStartError } from '../errors.js';
import { type Endpoint, serverIdentity } from './endpoint.js';
import { Guardian } from './guardian.js';
import type { ServerCommand } from './server-command.js';

/**
 * Starts the server as its own child and waits for it, so the server's pid is its own until `wait` returns. A watcher
 * reads the pipe meanwhile: when that closes, it kills the server. The watcher itself ends with the server, before the
 * pid can come round again.
 */
const SCRIPT = `
trap '' PIPE
exec 3<&0 </dev/null
log=$1
shift
"$@" >>"$log" 2>&1 3<&- &
server=$!
( exec >/dev/null; read -r _ <&3; kill -KILL $server ) &
watcher=$!
exec 3<&-
echo $server
wait $server
kill -KILL $watcher
`;

const READY_WITHIN_MS = 30_000;
const LOG_LINES = 12;

/**
 * One run of a server, from its launch to its death. It is either alive (`alive`, signals reach it) or gone for ever;
 * a restart is another run. Only this run's own process is ever signalled, and only while its guardian says that it lives.
 */
export class ServerProcess {
  #alive = true;

  private constructor(
    readonly pid: number,
    readonly guardian: Guardian,
    readonly port: number,
  ) {
    void guardian.gone.then(() => {
      this.#alive = false;
    });
  }

  /**
   * Launches the server and resolves once it has answered with its own process id and finished loading its data.
   *
   * @throws ServerStartError with the end of the server's log when it exits, or is not ready within 30 s
   */
  static async launch({ bin, ownArgs, args, endpoint, directory }: ServerCommand): Promise<ServerProcess> {
    const log = join(directory, 'server.log');
    const { guardian, line } = await Guardian.start(SCRIPT, [log, bin, ...ownArgs, ...args]);
    const server = new ServerProcess(Number(line), guardian, endpoint.port);
    try {
      await server.#ready(endpoint);
    } catch (cause) {
      await server.kill();
      throw new ServerStartError(`${bin} did not start on port ${endpoint.port}: ${String(cause)}`, await tail(log), {
        cause,
      });
    }
    return server;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** @throws ServerNotRunningError when the process has ended */
  signal(signal: NodeJS.Signals): void {
    if (!this.#alive) throw new ServerNotRunningError(this.port);
    process.kill(this.pid, signal);
  }

  /** SIGKILL; resolves when the process has ended. Does nothing when it had ended before. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** SIGTERM, so that the server saves what its configuration asks for; SIGKILL if it has not ended after 5 s. */
  async shutDown(): Promise<void> {
    const late = setTimeout(() => void this.kill(), 5_000);
    await this.#end('SIGTERM').finally(() => {
      clearTimeout(late);
    });
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (this.#alive) {
      try {
        process.kill(this.pid, signal);
        process.kill(this.pid, 'SIGCONT'); // a paused process does not see a SIGTERM
      } catch {
        // ESRCH: it has just ended by itself, and the guardian is about to say so
      }
    }
    await this.guardian.waitUntilGone();
  }

  async #ready(endpoint: Endpoint): Promise<void> {
    const deadline = performance.now() + READY_WITHIN_MS;
    for (;;) {
      if (!this.#alive) throw new Error('it exited');
      const reason = await serverIdentity(endpoint).then(
        ({ pid, loading }) =>
          pid !== this.pid ? `process ${pid} answers instead of ${this.pid}` : loading ? 'it is loading' : undefined,
        String,
      );
      if (reason === undefined) return;
      if (performance.now() > deadline) throw new Error(`not ready after ${READY_WITHIN_MS} ms (${reason})`);
      await Promise.race([sleep(5), this.guardian.gone]);
    }
  }
}

async function tail(log: string): Promise<string> {
  const text = await readFile(log, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-LOG_LINES).join('\n');
}
