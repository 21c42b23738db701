import type { Publication } from '../scripts/publish.js';
import { ConsumerTelemetry, type MessageOutcome } from './consumer-telemetry.js';
import { streamChannel, type StreamHappening, type StreamTelemetryEvent } from './stream-channel.js';

/** Whose telemetry it is. */
interface Origin {
  /** The name of the RedisStreamsModule. */
  readonly module: string;
  /** The name of the connection. */
  readonly connection: string;
}

/** Publishes what happens to the messages of one application. While nobody listens nothing is built. */
export class StreamsTelemetry {
  /** Told of each message and what became of it: for tests of the application's own, which know its messages. */
  readonly observers = new Set<(outcome: MessageOutcome) => void>();

  constructor(private readonly origin: Origin) {}

  /** Whether an event would be heard. Asked first, so that nothing is built for nobody. */
  get heard(): boolean {
    return streamChannel.hasSubscribers;
  }

  published(stream: string, type: string, { duplicate, dueAt }: Publication): void {
    if (this.heard) this.publish(stream, { event: 'published', type, duplicate, delayed: dueAt !== undefined });
  }

  consumer(stream: string, group: string): ConsumerTelemetry {
    return new ConsumerTelemetry(this, stream, group);
  }

  publish(stream: string, happening: StreamHappening): void {
    const event: StreamTelemetryEvent = Object.freeze({ ...this.origin, stream, ...happening });
    streamChannel.publish(event);
  }
}
