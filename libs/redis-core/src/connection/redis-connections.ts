import { Injectable, Module, type OnApplicationShutdown } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { OptionsError } from '../redis.errors.js';
import { defaultConnectionName } from '../redis.options.js';
import { getRedisConnectionToken } from '../redis.tokens.js';
import type { RedisConnection } from './redis-connection.js';

/** The connections of one application. Two applications in a process never see each other's. */
@Injectable()
export class RedisConnections implements OnApplicationShutdown {
  readonly #connections = new Map<string, RedisConnection>();
  #closed = false;

  constructor(private readonly modules: ModulesContainer) {}

  /** The names that the application's modules declare, connected or not. */
  get names(): string[] {
    return this.#declared().toSorted();
  }

  /**
   * A connection by its name.
   * @throws OptionsError that lists the known names
   */
  get(name: string = defaultConnectionName): RedisConnection {
    const connection = this.#connections.get(name);
    if (connection === undefined) throw this.unknown(`RedisConnections.get("${name}")`, name);
    return connection;
  }

  /** Adds a connection; called once by each RedisModule, before it connects. */
  add(connection: RedisConnection): void {
    const { name } = connection;
    if (this.#declared().filter((declared) => declared === name).length > 1) {
      throw new OptionsError(
        `RedisModule "${name}"`,
        `is imported twice under the same name. Known connections: ${this.names.join(', ')}. Give one of them another name.`,
      );
    }
    if (this.#closed) throw new OptionsError(`RedisModule "${name}"`, 'opens after the application has been closed.');
    this.#connections.set(name, connection);
  }

  /** The error for a connection that no module declares. */
  unknown(where: string, name: string): OptionsError {
    const known = this.names.length === 0 ? 'none; import RedisModule.forRoot' : this.names.join(', ');
    return new OptionsError(where, `there is no Redis connection "${name}". Known connections: ${known}.`);
  }

  /** Closes every connection, in parallel. One that failed to start must not leave the others open. */
  async closeAll(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#connections.values()].map((connection) => connection.close()));
  }

  /** The last hook of an application: its HTTP server has finished the requests in flight, and they still had Redis. */
  async onApplicationShutdown(): Promise<void> {
    await this.closeAll();
  }

  /** Declared by modules, not by what has been built so far: the order of building says nothing about what exists. */
  #declared(): string[] {
    const tokens = new Map<unknown, string>();
    return [...this.modules.values()].flatMap((module) =>
      [...module.providers.keys()].flatMap((token) => {
        const name =
          typeof token === 'symbol' ? /^RedisConnection "(.+)" \(/.exec(token.description ?? '')?.[1] : undefined;
        if (name === undefined || token !== getRedisConnectionToken(name)) return [];
        tokens.set(token, name);
        return [name];
      }),
    );
  }
}

/** Holds the one {@link RedisConnections} of an application; every RedisModule and feature module imports it. */
@Module({ providers: [RedisConnections], exports: [RedisConnections] })
export class RedisConnectionsModule {}
