import { BaseRpcContext } from '@nestjs/microservices';
import type { StreamContext } from '../consumer/stream-context.js';

/** What `@Ctx()` injects into a handler of this transport. */
export class RedisStreamsContext extends BaseRpcContext<[StreamContext]> {
  /** @internal */
  constructor(
    message: StreamContext,
    /** Whether it is about an event, which is retried when its handler fails; the failure of a call is its reply. */
    readonly isEvent: boolean,
  ) {
    super([message]);
  }

  /** The message: its id, headers, attempt and signal. */
  getMessage(): StreamContext {
    return this.args[0];
  }

  getPattern(): string {
    return this.args[0].type;
  }

  /** What the publisher sent beside the payload, e.g. `packet.metadata` of a dispatch hook. */
  getHeaders(): StreamContext['headers'] {
    return this.args[0].headers;
  }
}
