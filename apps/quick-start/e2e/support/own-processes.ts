import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Everything that a command starts inherits this variable from it, whoever its parent is by now. */
export const MARK = 'REDSTART_RUN';

/**
 * The command lines of the processes that carry the mark, and of those that work in the folder: a Redis server writes its title over its
 * environment. Known on Linux only.
 */
export function ownProcesses(mark: string, folder: string): string[] {
  const isOwn = (pid: string) =>
    read(() => readFileSync(`/proc/${pid}/environ`, 'utf8')).includes(mark) ||
    read(() => readlinkSync(`/proc/${pid}/cwd`)).startsWith(folder);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isOwn(name))
    .map((pid) => `${pid} ${read(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ')}`);
}

/** A process may end while it is being looked at, and those of others are closed to us. */
function read(look: () => string): string {
  try {
    return look();
  } catch {
    return '';
  }
}
