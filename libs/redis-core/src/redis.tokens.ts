import { Inject } from '@nestjs/common';
import { defaultConnectionName } from './redis.options.js';

/** The injection token of a {@link RedisConnection}. Nest prints it when nothing provides it, so it says what to import. */
export function getRedisConnectionToken(name: string = defaultConnectionName): symbol {
  return Symbol.for(`RedisConnection "${name}" (import RedisModule.forRoot({ name: '${name}', … }))`);
}

/** The injection token of the raw ioredis client of a connection. */
export function getRedisToken(name: string = defaultConnectionName): symbol {
  return Symbol.for(`Redis client "${name}" (import RedisModule.forRoot({ name: '${name}', … }))`);
}

/** The injection token of the {@link RedisPool} of a connection. */
export function getRedisPoolToken(name: string = defaultConnectionName): symbol {
  return Symbol.for(`RedisPool "${name}" (import RedisModule.forRoot({ name: '${name}', … }))`);
}

/**
 * Injects the ioredis client of a connection: a shorthand for `Inject(getRedisToken(name))`.
 *
 * It is the client of the `request` profile: everything of one tick leaves in one write, and what is in flight when the connection breaks
 * rejects. Use {@link RedisConnections} for calls with a budget, and {@link RedisPool} for WATCH and blocking commands.
 */
export const InjectRedis = (name?: string): ParameterDecorator & PropertyDecorator => Inject(getRedisToken(name));

/** Injects the {@link RedisPool} of a connection: a shorthand for `Inject(getRedisPoolToken(name))`. */
export const InjectRedisPool = (name?: string): ParameterDecorator & PropertyDecorator =>
  Inject(getRedisPoolToken(name));
