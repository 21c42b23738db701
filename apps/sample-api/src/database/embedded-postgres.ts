import { PGlite } from '@electric-sql/pglite';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';
import { DataFolderLock } from './data-folder-lock.js';
import { withUnbrokenCycles } from './unbroken-cycles.js';

const MAX_CONNECTIONS = 200;

export interface EmbeddedPostgresOptions {
  /** Where the data lives; without it, in memory. */
  readonly dataFolder?: string;
  /** @default 0, any free port */
  readonly port?: number;
}

/**
 * Postgres inside this process (PGlite), served on loopback to any number of `pg` clients.
 *
 * Underneath it is one session: statements run one after the other, and a transaction holds everyone else back until it ends.
 * Session state (SET, LISTEN, named prepared statements, session-level advisory locks) is therefore shared by all clients; the
 * application uses none of it.
 */
export class EmbeddedPostgres implements AsyncDisposable {
  readonly url: string;
  /** Resolves when the engine has ended by itself. All connections are closed then, and only another start helps; what was committed is kept. */
  readonly whenCrashed: Promise<void>;
  readonly #engine: PGlite;
  readonly #server: PGLiteSocketServer;
  readonly #lock: DataFolderLock | undefined;

  private constructor(
    engine: PGlite,
    server: PGLiteSocketServer,
    lock: DataFolderLock | undefined,
    whenCrashed: Promise<void>,
  ) {
    this.whenCrashed = whenCrashed;
    this.#engine = engine;
    this.#server = server;
    this.#lock = lock;
    this.url = `postgres://postgres@${server.getServerConn()}/postgres`;
  }

  /** @throws StartupError when another server uses the data folder */
  static async start({ dataFolder, port = 0 }: EmbeddedPostgresOptions = {}): Promise<EmbeddedPostgres> {
    const lock = dataFolder === undefined ? undefined : await DataFolderLock.acquire(dataFolder);
    try {
      const engine = await PGlite.create(dataFolder === undefined ? {} : { dataDir: dataFolder });
      let reportCrash: () => void = () => undefined;
      const crash = new Promise<void>((resolve) => (reportCrash = resolve));
      const server = new PGLiteSocketServer({
        db: withUnbrokenCycles(engine, reportCrash),
        host: '127.0.0.1',
        port,
        maxConnections: MAX_CONNECTIONS,
      });
      await server.start();
      // Clients would wait for ever: the socket server hears nothing of it.
      const whenCrashed = crash.then(() => server.stop());
      return new EmbeddedPostgres(engine, server, lock, whenCrashed);
    } catch (error) {
      await lock?.release();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    await this.#engine.close();
    await this.#lock?.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
