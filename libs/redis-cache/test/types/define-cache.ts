import type { StandardSchemaV1 } from '@standard-schema/spec';
import { defineCache, RedisCacheModule, type CacheOf, type CacheSource, type DefinedCache } from '../../src/index.js';

/** Compiled, never run: every `@ts-expect-error` has to be one. */

interface Flight {
  id: string;
  airline: string;
}
declare const flightSchema: StandardSchemaV1<{ id: string; airline: string }, Flight>;
declare class FlightRepository {
  find(id: string): Promise<Flight>;
  save(flight: Flight): Promise<void>;
}
class Flights implements CacheSource<string, Flight> {
  load(id: string): Flight {
    return { id, airline: 'LH' };
  }
}

export const bySchema = defineCache('flights', { key: (id: string) => id, schema: flightSchema });
export const byTags = defineCache('flights', { key: (id: string) => id, tags: (flight: Flight) => [flight.airline] });
export const byHand = defineCache<string, Flight>('flights', { key: (id) => ['flight', id], tags: ['flights'] });
export const seats = defineCache<{ flight: string; row: number }, number>('seats', {
  key: ({ flight, row }) => [flight, row],
});

// @ts-expect-error a key is no object
defineCache('flights', { key: (id: string) => ({ id }) });
// @ts-expect-error there is no such option
defineCache('flights', { key: (id: string) => id, until: '1m' });
// @ts-expect-error a signal is the call's
defineCache('flights', { key: (id: string) => id, signal: AbortSignal.abort() });

RedisCacheModule.forFeature([
  {
    cache: bySchema,
    inject: [FlightRepository],
    useFactory: (repository: FlightRepository) => ({
      load: (id) => repository.find(id.toUpperCase()),
      write: (_id, flight) => repository.save(flight),
    }),
  },
  { cache: seats, useFactory: () => ({ loadMany: (places) => places.map(({ row }) => row) }) },
  { cache: byHand, useClass: Flights },
  { cache: byTags, useExisting: Flights },
]);
// @ts-expect-error it loads something else
RedisCacheModule.forFeature([{ cache: bySchema, useFactory: () => ({ load: () => 1 }) }]);
// @ts-expect-error flights are no seats
RedisCacheModule.forFeature([{ cache: seats, useClass: Flights }]);

export async function calls(
  flights: CacheOf<typeof bySchema>,
  places: DefinedCache<{ flight: string; row: number }, number>,
) {
  const flight: Flight = await flights.getOrSet('LH1');
  const cached: Flight | undefined = await flights.get('LH1');
  const row: number = await places.getOrSet({ flight: 'LH1', row: 1 });
  await flights.write('LH1', flight, { first: 'cache' });
  // @ts-expect-error an id is a string
  await flights.get(1);
  // @ts-expect-error a part of the id is missing
  await places.get({ flight: 'LH1' });
  // @ts-expect-error that is no flight
  await flights.set('LH1', { id: 1 });
  return { cached, row };
}
