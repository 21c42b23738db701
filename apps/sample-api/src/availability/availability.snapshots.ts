import { Inject, Injectable } from '@nestjs/common';
import { getRedisConnectionToken, type RedisConnection } from '@redstart/redis-core';
import { defineFencedScript } from '@redstart/redis-lock';
import { type Availability, availabilitySchema } from './availability.dto.js';

/** Gone after five seconds, so that somebody counts again. */
const saveSnapshot = defineFencedScript({
  name: 'availability:save',
  lua: `redis.call('SET', KEYS[1], ARGV[1], 'PX', 5000)`,
  args: (availability: Availability) => [JSON.stringify(availability)],
  parse: () => undefined,
});

/** The latest count of each flight, in Redis. */
@Injectable()
export class AvailabilitySnapshots {
  constructor(@Inject(getRedisConnectionToken()) private readonly redis: RedisConnection) {}

  /** @throws RedisUnavailableError */
  async read(flightId: number): Promise<Availability | undefined> {
    const key = this.#key(flightId);
    const call = { library: 'sample-api', operation: 'availability.read', budgetMs: 250 };
    const stored = await this.redis.call(call, (client) => client.get(key));
    return stored === null ? undefined : availabilitySchema.parse(JSON.parse(stored));
  }

  /**
   * @param fencingToken that of the lock on the availability of this flight
   * @throws StaleTokenError when a later holder has saved a count already · RedisUnavailableError
   */
  async save(availability: Availability, fencingToken: number): Promise<void> {
    await saveSnapshot.run(this.redis, fencingToken, [this.#key(availability.flightId)], availability);
  }

  /** STRING flights:availability:{1}, JSON; beside it :fence, the highest fencing token that has saved one. */
  #key(flightId: number): string {
    return this.redis.keys.tagged('availability', flightId)();
  }
}
