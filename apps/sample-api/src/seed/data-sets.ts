import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { parse } from 'csv-parse/sync';
import type { Insertable } from 'kysely';
import { z } from 'zod';
import type { AirportsTable, FlightsTable, RoutesTable } from '../database/schema.js';

/** The rows of one table, read from a file of the npm package `vega-datasets`. A row that is not as expected stops the loading. */
export interface DataSet<Table extends 'airports' | 'routes' | 'flights', Row> {
  readonly table: Table;
  readonly file: string;
  read(): Promise<Row[]>;
}

const code = z.string().regex(/^[A-Z0-9]{3,4}$/);
const integerText = z.string().regex(/^\d+$/).transform(Number);
const degreesText = z
  .string()
  .regex(/^-?\d+(\.\d+)?$/)
  .transform(Number);
/** The source writes NA where it does not know. */
const maybeUnknown = z.string().transform((text) => (text === 'NA' ? null : text));

const airportRow = z
  .object({
    iata: code,
    name: z.string(),
    city: maybeUnknown,
    state: maybeUnknown,
    country: z.string(),
    latitude: degreesText,
    longitude: degreesText,
  })
  .transform(({ iata, ...airport }) => ({ code: iata, ...airport }));

const routeRow = z
  .object({ origin: code, destination: code, count: integerText })
  .transform(({ count, ...route }) => ({ ...route, flights: count }));

const flightRows = z.array(
  z.object({
    date: z.string().regex(/^\d{4}\/\d{2}\/\d{2} \d{2}:\d{2}$/),
    delay: z.int(),
    distance: z.int(),
    origin: code,
    destination: code,
  }),
);

export const airports: DataSet<'airports', Insertable<AirportsTable>> = {
  table: 'airports',
  file: 'airports.csv',
  async read() {
    return z.array(airportRow).parse(parse(await contentOf(this.file), { columns: true }));
  },
};

export const routes: DataSet<'routes', Insertable<RoutesTable>> = {
  table: 'routes',
  file: 'flights-airport.csv',
  async read() {
    return z.array(routeRow).parse(parse(await contentOf(this.file), { columns: true }));
  },
};

export const flights: DataSet<'flights', Insertable<FlightsTable>> = {
  table: 'flights',
  file: 'flights-20k.json',
  async read() {
    return flightRows
      .parse(JSON.parse(await contentOf(this.file)))
      .map(({ date, delay, distance, origin, destination }, index) => ({
        id: index + 1,
        origin,
        destination,
        departs_at: date.replaceAll('/', '-'),
        delay_minutes: delay,
        distance_miles: distance,
      }));
  },
};

/** The package exports no path to its files, so they are found from its entry, `build/index.js`. */
const require = createRequire(import.meta.url);
const dataFolder = join(dirname(require.resolve('vega-datasets')), '../data');

const contentOf = (file: string): Promise<string> => readFile(join(dataFolder, file), 'utf8');
