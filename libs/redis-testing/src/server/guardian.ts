import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';

/**
 * A guardian is a small `sh` that holds one end of a pipe of ours and outlives us by design. However this process ends
 * (return, exit, SIGTERM, SIGKILL, a crash), the kernel closes the pipe, and the guardian tidies up.
 *
 * There is no moment without protection: the pipe exists before the guardian does, and the guardian creates the thing
 * that it guards. If we die in between, it finds the pipe closed as soon as it looks.
 *
 * A guardian runs in its own session, so a Ctrl-C or a kill of our whole process group does not take it along. It is
 * unreferenced: it never keeps this process alive.
 */
export class Guardian {
  /** Settles when the guardian has gone. */
  readonly gone: Promise<void>;
  readonly #shell: ChildProcess;

  private constructor(shell: ChildProcess) {
    this.#shell = shell;
    this.gone = new Promise((resolve) => {
      shell.once('exit', () => {
        resolve();
      });
      shell.once('error', () => {
        resolve();
      });
    });
    // A guardian that was killed from outside breaks the pipe; `gone` tells.
    shell.stdin?.on('error', () => undefined);
  }

  /**
   * Starts a guardian and resolves with the first line that it prints.
   *
   * @throws Error when `sh` cannot be started, or ends without having printed a line
   */
  static async start(script: string, args: readonly string[]): Promise<{ guardian: Guardian; line: string }> {
    const shell = spawn('sh', ['-c', script, 'redstart-guardian', ...args], {
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const guardian = new Guardian(shell);
    const line = await firstLine(shell);
    guardian.#setReferenced(false);
    return { guardian, line };
  }

  /** Closes the pipe, which makes the guardian tidy up, and waits until it has. */
  async release(): Promise<void> {
    this.#shell.stdin?.end();
    await this.waitUntilGone();
  }

  /** Waits for the guardian's end; meanwhile this process stays alive. */
  async waitUntilGone(): Promise<void> {
    this.#setReferenced(true);
    await this.gone;
    this.#setReferenced(false);
    this.#shell.stdin?.destroy();
    this.#shell.stdout?.destroy();
  }

  #setReferenced(referenced: boolean): void {
    const verb = referenced ? 'ref' : 'unref';
    this.#shell[verb]();
    for (const stream of [this.#shell.stdin, this.#shell.stdout]) if (stream instanceof Socket) stream[verb]();
  }
}

async function firstLine(shell: ChildProcess): Promise<string> {
  let text = '';
  const read = (async () => {
    for (;;) {
      const [chunk] = (await once(shell.stdout ?? shell, 'data')) as [Buffer];
      text += chunk.toString();
      const end = text.indexOf('\n');
      if (end >= 0) return text.slice(0, end);
    }
  })();
  const failed = new Promise<never>((_resolve, reject) => {
    shell.once('error', reject);
    shell.once('close', () => {
      reject(new Error('The guardian shell ended before it had started anything.'));
    });
  });
  return Promise.race([read, failed]);
}
