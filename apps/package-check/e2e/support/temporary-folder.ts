import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Removes the folder when it is told to, or when the pipe ends without a word because this process did, in whatever way. An npm that it has left
 * behind writes on for a while then; whoever ends all processes of a run with SIGTERM ends that one, too.
 */
const guardian = `
  left=30
  trap 'left=2' TERM
  if read -r told; then rm -rf "$1"; exit; fi
  while [ $left -gt 0 ]; do rm -rf "$1"; sleep 1; left=$((left - 1)); done`;

/** A folder outside of the workspace, so that nothing in it finds the workspace's node_modules. It goes when we go. */
export class TemporaryFolder {
  private constructor(
    readonly path: string,
    readonly remove: () => Promise<void>,
  ) {}

  static async create(): Promise<TemporaryFolder> {
    const path = await realpath(await mkdtemp(join(tmpdir(), 'redstart-packages-')));
    const shell = spawn('sh', ['-c', guardian, 'redstart-guardian', path], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const gone = once(shell, 'exit');
    // Whoever has killed it breaks the pipe; that it has gone is all that is waited for.
    shell.stdin.on('error', () => undefined);
    // Without a test to run Jest calls no hook, and this process has to end all the same.
    shell.unref();
    if (shell.stdin instanceof Socket) shell.stdin.unref();
    return new TemporaryFolder(path, async () => {
      shell.ref();
      shell.stdin.end('remove\n');
      await gone;
      await rm(path, { recursive: true, force: true });
    });
  }
}
