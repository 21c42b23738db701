import { z } from 'zod';
import { StartupError } from '../startup/startup-error.js';

const integer = (minimum: number, maximum: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .pipe(z.number().min(minimum).max(maximum));

const urlWith = (...protocols: string[]) =>
  z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol));

/** Every variable the application reads, and what to tell the operator who got it wrong. The message never quotes the value. */
const variables = {
  PORT: { schema: integer(0, 65_535).default(3000), expected: 'must be an integer from 0 to 65535' },
  HOST: { schema: z.string().max(253).optional(), expected: 'must be a host name or an address' },
  STATS: { schema: z.enum(['on', 'off']).default('off'), expected: 'must be on or off' },
  DATABASE_URL: { schema: urlWith('postgres:', 'postgresql:'), expected: 'must be a postgres:// URL' },
  DATABASE_POOL_SIZE: { schema: integer(1, 100).default(10), expected: 'must be an integer from 1 to 100' },
  DATABASE_TIMEOUT_SECONDS: { schema: integer(1, 60).default(5), expected: 'must be an integer from 1 to 60' },
  REDIS_URL: { schema: urlWith('redis:', 'rediss:'), expected: 'must be a redis:// or rediss:// URL' },
  SEARCHES_PER_MINUTE: { schema: integer(1, 1_000_000).default(60), expected: 'must be an integer from 1 to 1000000' },
  BOOKINGS_PER_MINUTE: { schema: integer(1, 1_000_000).default(60), expected: 'must be an integer from 1 to 1000000' },
  OUTBOX_POLL_SECONDS: { schema: integer(1, 3_600).default(1), expected: 'must be an integer from 1 to 3600' },
  REPUBLISH_AFTER_SECONDS: { schema: integer(1, 3_600).default(5), expected: 'must be an integer from 1 to 3600' },
};

const environmentSchema = z.object({
  PORT: variables.PORT.schema,
  HOST: variables.HOST.schema,
  STATS: variables.STATS.schema,
  DATABASE_URL: variables.DATABASE_URL.schema,
  DATABASE_POOL_SIZE: variables.DATABASE_POOL_SIZE.schema,
  DATABASE_TIMEOUT_SECONDS: variables.DATABASE_TIMEOUT_SECONDS.schema,
  REDIS_URL: variables.REDIS_URL.schema,
  SEARCHES_PER_MINUTE: variables.SEARCHES_PER_MINUTE.schema,
  BOOKINGS_PER_MINUTE: variables.BOOKINGS_PER_MINUTE.schema,
  OUTBOX_POLL_SECONDS: variables.OUTBOX_POLL_SECONDS.schema,
  REPUBLISH_AFTER_SECONDS: variables.REPUBLISH_AFTER_SECONDS.schema,
});

/** The validated configuration; also the token under which it is injected. */
export class AppConfig {
  readonly port: number;
  /** Undefined: every interface. */
  readonly host: string | undefined;
  /** Whether `GET /stats` is served. Not by default: what an API does is nobody's business but its operator's. */
  readonly stats: boolean;
  readonly databaseUrl: string;
  readonly databasePoolSize: number;
  /** How long a request waits for a statement or a transaction, and for its connection. */
  readonly databaseTimeoutSeconds: number;
  readonly redisUrl: string;
  /** How many searches one address may make in any minute. */
  readonly searchesPerMinute: number;
  /** How many seats one address may try to book in any minute. */
  readonly bookingsPerMinute: number;
  /** How often the outbox is looked into for rows that nobody has told of. */
  readonly outboxPollSeconds: number;
  /** How long a published event may be without its effect before it is published again. */
  readonly republishAfterSeconds: number;

  private constructor(values: z.infer<typeof environmentSchema>) {
    this.port = values.PORT;
    this.host = values.HOST;
    this.stats = values.STATS === 'on';
    this.databaseUrl = values.DATABASE_URL;
    this.databasePoolSize = values.DATABASE_POOL_SIZE;
    this.databaseTimeoutSeconds = values.DATABASE_TIMEOUT_SECONDS;
    this.redisUrl = values.REDIS_URL;
    this.searchesPerMinute = values.SEARCHES_PER_MINUTE;
    this.bookingsPerMinute = values.BOOKINGS_PER_MINUTE;
    this.outboxPollSeconds = values.OUTBOX_POLL_SECONDS;
    this.republishAfterSeconds = values.REPUBLISH_AFTER_SECONDS;
    Object.freeze(this);
  }

  /**
   * Reads the configuration from environment variables; an empty variable counts as not set.
   *
   * @throws StartupError naming every wrong variable at once, without any value
   */
  static from(environment: NodeJS.ProcessEnv): AppConfig {
    const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim()));
    const parsed = environmentSchema.safeParse(given);
    if (parsed.success) return new AppConfig(parsed.data);
    const wrong = new Set(parsed.error.issues.map((issue) => String(issue.path[0])));
    const complaints = Object.entries(variables)
      .filter(([name]) => wrong.has(name))
      .map(([name, { expected }]) => `${name} ${name in given ? expected : `is missing (${expected})`}`);
    throw new StartupError(`The configuration is wrong: ${complaints.join('; ')}.`);
  }
}
