import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import type { RedisStreams } from '../streams.service.js';

/**
 * Runs what every process does for its streams, whether it consumes them or only publishes: it begins when the application has booted, and ends when it
 * shuts down, while the connection is still there.
 */
export class MaintenanceHost implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(private readonly streams: RedisStreams) {}

  onApplicationBootstrap(): void {
    this.streams.delays.start();
    this.streams.retention.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all([this.streams.delays.stop(), this.streams.retention.stop()]);
  }
}
