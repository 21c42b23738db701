import { readFileSync } from 'node:fs';

/**
 * How many read and write system calls this process has made until now, sockets included (Linux counts them in /proc). A call that another thread of Node makes to
 * wake the event loop counts as well, so at one in flight expect a few more than the sockets alone need.
 *
 * @returns {{ reads: number, writes: number } | undefined} `undefined` where the platform does not say
 */
export function systemCalls() {
  try {
    const text = readFileSync('/proc/self/io', 'latin1');
    return { reads: Number(/^syscr: (\d+)$/m.exec(text)?.[1]), writes: Number(/^syscw: (\d+)$/m.exec(text)?.[1]) };
  } catch {
    return undefined;
  }
}
