import { tmpdir } from 'node:os';
import { Guardian } from './guardian.js';

/**
 * Makes a folder, tells its name, and removes it when the pipe closes. The loop covers a server that is being killed at
 * the same moment and writes its last file. SIGPIPE is ignored so that a reader who died early does not stop the tidying.
 */
const SCRIPT = `
trap '' PIPE
directory=$(mktemp -d "$1/redstart-XXXXXX") || exit 1
echo "$directory"
read -r _
tries=0
until rm -rf -- "$directory" || [ $tries -ge 100 ]; do tries=$((tries + 1)); sleep 0.05; done
`;

/** A private temporary folder (mode 0700) that disappears with this object, or with this process however it ends. */
export class Workspace {
  private constructor(
    readonly directory: string,
    readonly guardian: Guardian,
  ) {}

  static async open(): Promise<Workspace> {
    const { guardian, line } = await Guardian.start(SCRIPT, [tmpdir()]);
    return new Workspace(line, guardian);
  }

  /** Removes the folder; resolves when it has gone. */
  async close(): Promise<void> {
    await this.guardian.release();
  }
}
