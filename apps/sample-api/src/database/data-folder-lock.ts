import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { types } from 'node:util';
import { StartupError } from '../startup/startup-error.js';

/**
 * Keeps two servers off one data folder, because PGlite would let both write and ruin it.
 *
 * The holder listens on a loopback port and answers with its id; the file `<folder>.lock` tells both. A file whose holder does not
 * answer was left behind by a process that died, and is taken over. No process id is trusted: another process may have it by now.
 */
export class DataFolderLock {
  readonly #file: string;
  readonly #listener: Server;

  private constructor(file: string, listener: Server) {
    this.#file = file;
    this.#listener = listener;
  }

  /** @throws StartupError when another server uses the folder */
  static async acquire(folder: string): Promise<DataFolderLock> {
    await mkdir(folder, { recursive: true });
    const file = `${folder.replace(/[\\/]+$/, '')}.lock`;
    const id = randomUUID();
    const listener = createServer((socket) => {
      socket.on('error', () => undefined).end(id); // a peer that went away needs no answer
    }).unref();
    const port = await listen(listener);
    const draft = `${file}.${id}`;
    await writeFile(draft, `${port} ${id}\n`);
    try {
      // link() creates the file together with its content, or fails: nobody ever reads half a lock.
      while (!(await link(draft, file).then(() => true, whenItExists))) await removeLeftover(file, folder);
      return new DataFolderLock(file, listener);
    } catch (error) {
      listener.close();
      throw error;
    } finally {
      await rm(draft, { force: true });
    }
  }

  async release(): Promise<void> {
    await rm(this.#file, { force: true });
    this.#listener.close();
  }
}

/** Removes a lock whose holder is gone. */
async function removeLeftover(file: string, folder: string): Promise<void> {
  const content = await readFile(file, 'utf8').catch(() => '');
  if (content && (await answers(content))) {
    throw new StartupError(`Another server already uses the data folder ${folder}.`);
  }
  // Moved aside rather than deleted: of two that found the same leftover, one moves it and the other fails here and looks again.
  const aside = `${file}.${randomUUID()}`;
  const moved = await rename(file, aside).then(
    () => true,
    () => false,
  );
  if (!moved) return;
  const taken = await readFile(aside, 'utf8');
  // The leftover was replaced by a live lock in between: give it back.
  if (taken !== content) await link(aside, file).catch(whenItExists);
  await rm(aside, { force: true });
}

/** Does the holder that the lock file names answer with its id? */
function answers(content: string): Promise<boolean> {
  const [port, id] = content.trim().split(' ');
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: Number(port) });
    let heard = '';
    socket.setTimeout(2_000, () => socket.destroy());
    socket.on('data', (chunk) => (heard += chunk.toString()));
    socket.on('error', () => undefined); // nobody listens there: 'close' follows
    socket.on('close', () => {
      resolve(heard === id);
    });
  });
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('The lock has no port.'));
      else resolve(address.port);
    });
  });
}

function whenItExists(error: unknown): false {
  if (types.isNativeError(error) && 'code' in error && error.code === 'EEXIST') return false;
  throw error;
}
