import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ActiveFaults } from './faults/active-faults.js';
import type { LostReply } from './faults/fault.js';
import { type Ending, Lane } from './lane.js';
import { PendingReplies } from './pending-replies.js';
import { resetSocket } from './reset-socket.js';
import { NotRespError, RespScanner, type Segment } from './resp-scanner.js';

/** What a link needs of its proxy. */
export interface LinkContext {
  readonly faults: ActiveFaults;
  /** How many of each command went to the server. */
  readonly commands: Map<string, number>;
  /** The traffic is not encrypted, so commands and replies can be told apart. */
  readonly readable: boolean;
}

const REPLICATION = new Set(['SYNC', 'PSYNC']);

/**
 * One connection of a client through the proxy, and the connection to the server that belongs to it.
 *
 * Its life: open; then, after a reply was dropped without a reset, silent (requests still go to the server, nothing comes
 * back: after lost bytes TCP delivers nothing either, and a later reply would be taken for the lost one); then closed,
 * when both sockets are. Bytes that are no RESP make it opaque: they pass, commands are no longer told apart.
 */
export class Link {
  readonly #requests: Lane;
  readonly #replies: Lane;
  readonly #commandScanner = new RespScanner({ inline: true });
  readonly #replyScanner = new RespScanner();
  readonly #pending = new PendingReplies();
  #opaque: boolean;
  #silent = false;
  #resetDue = false;
  #swallowing: LostReply | undefined;

  readonly #client: Socket;
  readonly #server: Socket;
  readonly #context: LinkContext;

  constructor(client: Socket, server: Socket, context: LinkContext, onClosed: () => void) {
    this.#client = client;
    this.#server = server;
    this.#context = context;
    this.#opaque = !context.readable;
    const requests = { deliver: this.#deliverRequests.bind(this), end: this.#end.bind(this, server) };
    const replies = { deliver: this.#deliverReplies.bind(this), end: this.#end.bind(this, client) };
    this.#requests = new Lane('request', client, requests, context.faults);
    this.#replies = new Lane('reply', server, replies, context.faults);
    let open = 2;
    for (const socket of [client, server]) {
      socket.once('close', () => {
        open -= 1;
        if (open > 0) return;
        this.#abandon();
        onClosed();
      });
    }
  }

  /** RST to both sides, at once. */
  reset(): void {
    this.#abandon();
    for (const socket of [this.#client, this.#server]) resetSocket(socket);
  }

  #deliverRequests(bytes: Buffer): Promise<void> | undefined {
    const cut = this.#readRequests(bytes);
    if (cut === undefined) return write(this.#server, bytes);
    this.#abandon();
    // The server reads the command before it reads the end of the connection, so it carries it out.
    this.#server.resume().end(bytes.subarray(0, cut));
    resetSocket(this.#client);
    return undefined;
  }

  /** Counts the commands and notes whose reply is awaited. Returns where to cut the connection, if a fault wants that. */
  #readRequests(bytes: Buffer): number | undefined {
    for (const { frame, end, closes } of this.#scan(this.#commandScanner, bytes)) {
      const command = frame.first.toUpperCase();
      if (!closes || command === '') continue;
      const { commands, faults } = this.#context;
      commands.set(command, (commands.get(command) ?? 0) + 1);
      this.#pending.expect(command, frame.size - 1, this.#silent ? undefined : faults.claimReply(command));
      if (REPLICATION.has(command)) this.#opaque = true; // what follows is a stream of its own
      if (faults.cutsBehind(command)) return end;
    }
    return undefined;
  }

  #deliverReplies(bytes: Buffer): Promise<void> | undefined {
    const passed: Buffer[] = [];
    let read = 0;
    for (const segment of this.#scan(this.#replyScanner, bytes)) {
      read = segment.end;
      if (!this.#silent && !this.#swallow(segment)) passed.push(bytes.subarray(segment.start, segment.end));
    }
    if (!this.#silent) passed.push(bytes.subarray(read)); // what an opaque link has not looked at
    const rest = Buffer.concat(passed);
    if (this.#resetDue) return this.#resetBehind(rest);
    return rest.length > 0 ? write(this.#client, rest) : undefined;
  }

  /** Replies before the lost one have arrived in order; they are given the time to. */
  async #resetBehind(bytes: Buffer): Promise<void> {
    if (bytes.length > 0) await new Promise((resolve) => this.#client.write(bytes, resolve));
    await nextTurn();
    this.reset();
  }

  /** Whether the segment belongs to a reply that is lost; from its end on, the link is silent or reset. */
  #swallow({ frame, opens, closes }: Segment): boolean {
    if (opens) this.#swallowing = this.#pending.lossOf(frame);
    const lost = this.#swallowing;
    if (!closes) return lost !== undefined;
    this.#pending.settle(frame);
    this.#swallowing = undefined;
    if (lost === undefined) return false;
    lost.swallowed();
    this.#silent = true;
    this.#pending.abandon();
    this.#resetDue = lost.thenReset;
    return true;
  }

  #scan(scanner: RespScanner, bytes: Buffer): Segment[] {
    if (this.#opaque) return [];
    try {
      return scanner.scan(bytes);
    } catch (error) {
      if (!(error instanceof NotRespError)) throw error;
      this.#opaque = true;
      this.#pending.abandon();
      return [];
    }
  }

  #end(socket: Socket, ending: Ending): void {
    if (ending === 'fin') socket.end();
    else resetSocket(socket);
  }

  #abandon(): void {
    this.#pending.abandon();
    this.#requests.close();
    this.#replies.close();
  }
}

/** Resolves, when the socket's buffer is full, once it has emptied. */
function write(socket: Socket, bytes: Buffer): Promise<void> | undefined {
  if (!socket.writable || socket.write(bytes)) return undefined;
  return new Promise((resolve) => {
    const go = () => {
      socket.off('drain', go).off('close', go);
      resolve();
    };
    socket.on('drain', go).on('close', go);
  });
}
