import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Address } from '@redstart/redis-testing';

/** A command that a server has carried out. */
export interface Observed {
  /** By the server's clock, in ms. */
  readonly at: number;
  readonly args: readonly string[];
  /** A script did it, and not a client. */
  readonly byScript: boolean;
}

/**
 * The MONITOR feed of one server until one of the two ends it. On a socket of its own: a client that reconnects would take the feed for replies.
 */
export class MonitorFeed {
  private constructor(
    private readonly socket: Socket,
    /** Settles when the feed has ended. */
    readonly ended: Promise<unknown>,
  ) {}

  static async open({ host, port }: Address, onCommand: (command: Observed) => void): Promise<MonitorFeed> {
    const socket = connect({ host, port });
    const ended = once(socket, 'close');
    socket.on('error', () => undefined); // `ended` tells
    const lines = createInterface({ input: socket });
    const ready = once(lines, 'line');
    socket.write('MONITOR\r\n');
    await ready;
    lines.on('line', (line) => {
      const command = parse(line);
      if (command !== undefined) onCommand(command);
    });
    return new MonitorFeed(socket, ended);
  }

  close(): void {
    this.socket.destroy();
  }
}

/** `+1700000000.123456 [0 lua] "SET" "key" "value"` */
function parse(line: string): Observed | undefined {
  const [, time, source, rest] = /^\+([\d.]+) \[\d+ (\S+)\] (.*)$/.exec(line) ?? [];
  if (time === undefined || source === undefined || rest === undefined) return undefined;
  const args = [...rest.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, quoted = '']) => unquote(quoted));
  return { at: Number(time) * 1_000, args, byScript: source === 'lua' };
}

function unquote(text: string): string {
  return text.replace(/\\(["\\])/g, '$1');
}
