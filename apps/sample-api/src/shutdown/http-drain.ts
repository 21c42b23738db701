import { once } from 'node:events';
import { type IncomingMessage, Server as HttpServer, type ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { AppConfig } from '../config/app-config.js';

/** A client that keeps a connection busy sends its next request within this time, and hears in the answer that it was the last. */
const QUIET_MS = 300;
/** No request goes to the database more often, each time for `databaseTimeoutSeconds` at most. */
const TRIPS_TO_DATABASE = 2;
/** What else an answer may take: Redis while it hangs (two seconds), and our own work. */
const REMAINDER_MS = 5_000;

/**
 * Lets the requests end before anything that they need does.
 *
 * A process that stops first closes the listener: who comes now is refused by the operating system and can go to another process. Connections that are open are
 * *told*: each answer from now on says `Connection: close`. After a while those on which nobody asks are *closed*. Node by itself closes the idle ones at
 * once, at the risk of a request that is on its way, and waits without end for the busy ones. What is open at the *deadline* is cut off: that is later than
 * any answer, so it is a connection on which a request never came to its end.
 *
 * A provider of the root module, because Nest calls `onModuleDestroy` from the root down: the relay, the consumers and the connections behind them
 * stop afterwards.
 */
@Injectable()
export class HttpDrain implements OnModuleDestroy {
  protected readonly deadlineMs: number;
  protected readonly quietMs: number = QUIET_MS;

  constructor(
    private readonly adapterHost: HttpAdapterHost,
    { databaseTimeoutSeconds }: AppConfig,
  ) {
    this.deadlineMs = TRIPS_TO_DATABASE * databaseTimeoutSeconds * 1_000 + REMAINDER_MS;
  }

  async onModuleDestroy(): Promise<void> {
    const server: unknown = this.adapterHost.httpAdapter.getHttpServer();
    if (!(server instanceof HttpServer) || !server.listening) return;
    const whenEmpty = once(server, 'close');
    server.prependListener('request', (_: IncomingMessage, response: ServerResponse) => {
      response.setHeader('Connection', 'close');
    });
    // Of the listener alone; an HTTP server would close the idle connections with it.
    NetServer.prototype.close.call(server);

    const sweep = setInterval(() => {
      // Behind what has arrived: after a stall of the process the time is up before anything is read, and nobody is as quiet as that looks.
      setImmediate(() => {
        server.closeIdleConnections();
      });
    }, this.quietMs);
    const noLater = new AbortController();
    await Promise.race([
      whenEmpty,
      pause(this.deadlineMs, undefined, { signal: noLater.signal }).catch(() => undefined),
    ]);
    noLater.abort();
    clearInterval(sweep);
    server.closeAllConnections();
  }
}
