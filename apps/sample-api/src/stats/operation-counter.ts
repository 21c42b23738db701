import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { operationChannel, type OperationContext } from '@redstart/redis-core';
import type { OperationCount } from './stats.dto.js';

/**
 * Counts what the libraries of Redstart ask of Redis, as they publish it on `redstart:operation`.
 *
 * A channel of `node:diagnostics_channel` belongs to the process, so several applications in one process are counted together.
 */
@Injectable()
export class OperationCounter implements OnModuleInit, OnModuleDestroy {
  readonly #counts = new Map<string, OperationCount>();
  /** The channel takes a function away by its identity. */
  readonly #listeners = {
    start: ignore,
    end: ignore,
    asyncStart: ignore,
    error: ignore, // The operation ends as well, with its error in the context.
    asyncEnd: (context: OperationContext) => {
      this.#count(context);
    },
  };

  onModuleInit(): void {
    operationChannel.subscribe(this.#listeners);
  }

  onModuleDestroy(): void {
    operationChannel.unsubscribe(this.#listeners);
  }

  /** Sorted by library and operation. */
  snapshot(): OperationCount[] {
    return [...this.#counts.keys()].toSorted().flatMap((name) => this.#counts.get(name) ?? []);
  }

  #count({ library, operation, error }: OperationContext): void {
    const name = `${library} ${operation}`;
    const { calls, failed } = this.#counts.get(name) ?? { calls: 0, failed: 0 };
    this.#counts.set(name, {
      library,
      operation,
      calls: calls + 1,
      failed: failed + (error === undefined ? 0 : 1),
    });
  }
}

function ignore(): void {
  // Only the end of an operation is counted.
}
