import { Injectable, Module, UseGuards, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { INestApplication, Type } from '@nestjs/common';
import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import {
  Args,
  Field,
  GraphQLModule,
  Int,
  Mutation,
  ObjectType,
  Parent,
  Query,
  ResolveField,
  Resolver,
  Subscription,
} from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import {
  by,
  concurrency,
  createPolicies,
  currentSlot,
  RateLimit,
  RateLimitService,
  SkipRateLimit,
  slidingWindow,
  type RateLimitContext,
} from '../src/index.js';
import { compileApp } from './test-app.js';

const policies = createPolicies({
  everything: slidingWindow({ limit: 1_000, window: '1m' }),
  api: slidingWindow({ limit: 3, window: '1m' }),
  details: slidingWindow({ limit: 2, window: '1m' }),
  login: slidingWindow({ limit: 2, window: '1m' }),
  feeds: slidingWindow({ limit: 2, window: '1m' }),
  exports: concurrency({ limit: 1, lease: '30s' }),
});

const seen: RateLimitContext[] = [];
/** Operations that wait until the test lets them go on. */
const gates: (() => void)[] = [];

/** Finds the user where the header says, as an authentication guard does: at the request of the operation. */
@Injectable()
class UserGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { req }: { req: { headers: Record<string, string>; user?: { id: string } } } = context.getArgByIndex(2);
    if (req.headers['x-user'] !== undefined) req.user = { id: req.headers['x-user'] };
    return true;
  }
}

@ObjectType()
class Flight {
  @Field(() => Int)
  readonly id: number;

  constructor(id: number) {
    this.id = id;
  }
}

@RateLimit('api')
@UseGuards(UserGuard)
@Resolver(() => Flight)
class FlightsResolver {
  @Query(() => [Flight])
  flights(): Flight[] {
    return [1, 2, 3].map((id) => new Flight(id));
  }

  @RateLimit('api', { cost: ({ args }) => Number(args['first']) })
  @Query(() => [Flight])
  search(@Args('first', { type: () => Int }) first: number): Flight[] {
    return [new Flight(first)];
  }

  @RateLimit('details')
  @ResolveField(() => String)
  details(@Parent() { id }: Flight): string {
    return `flight ${id}`;
  }

  @SkipRateLimit()
  @Query(() => String)
  free(): string {
    return 'free';
  }
}

@Resolver()
class LoginResolver {
  @RateLimit('login', { key: ({ args }) => ['login', String(args['name'])] })
  @Mutation(() => String)
  login(@Args('name') name: string): string {
    return name;
  }

  @RateLimit('login', {
    key: (context) => {
      seen.push(context);
      return by.ip()(context);
    },
  })
  @Query(() => String)
  whoami(): string {
    return 'you';
  }

  @RateLimit('feeds', { key: by.ip() })
  @Subscription(() => Int, { resolve: (value: number) => value })
  async *ticks(): AsyncGenerator<number> {
    await Promise.resolve();
    yield 1;
    yield 2;
  }

  @RateLimit('login', { key: () => 'k', refundOn: ({ error }) => error !== undefined })
  @Mutation(() => String)
  fails(@Args('really', { type: () => Boolean }) really: boolean): string {
    if (really) throw new Error('on purpose');
    return 'no';
  }

  @RateLimit('exports', { key: () => 'k' })
  @Query(() => String)
  async exported(): Promise<string> {
    await new Promise<void>((resolve) => gates.push(resolve));
    return currentSlot()?.decision.policy ?? 'none';
  }

  @Query(() => String)
  plain(): string {
    return 'plain';
  }
}

@Module({ providers: [FlightsResolver, LoginResolver] })
class ResolversModule {}

const common = { autoSchemaFile: true, fieldResolverEnhancers: ['guards' as const] };
const servers: [string, () => ExpressAdapter | FastifyAdapter, Parameters<typeof GraphQLModule.forRoot>[0]][] = [
  [
    'Apollo on Express',
    () => new ExpressAdapter(),
    {
      ...common,
      driver: ApolloDriver,
      allowBatchedHttpRequests: true,
      subscriptions: { 'graphql-ws': true },
    } as ApolloDriverConfig,
  ],
  [
    'Mercurius on Fastify',
    () => new FastifyAdapter(),
    { ...common, driver: MercuriusDriver, allowBatchedQueries: true, subscription: true } as MercuriusDriverConfig,
  ],
];

interface Answer {
  readonly data: Record<string, unknown> | null;
  readonly errors?: readonly { message: string; path?: string[]; extensions?: Record<string, unknown> }[];
}

describeOn(standalone)('limited resolvers', (redis) => {
  describe.each(servers)('of %s', (_, adapter, graphql) => {
    let app: INestApplication;
    let url: string;
    const limiter = () => app.get(RateLimitService);
    const remaining = async (policy: string, key: (string | number)[] = ['ip', '127.0.0.1']) =>
      (await limiter().peek(policy, key)).remaining;

    beforeAll(async () => {
      const testing = await compileApp(
        redis.connection,
        { policies, global: ['everything'], budget: '5s', deniedKeys: 0 },
        { imports: [GraphQLModule.forRoot(graphql), ResolversModule] },
      );
      app = testing.createNestApplication(adapter());
      await app.listen(0, '127.0.0.1');
      url = await app.getUrl();
    });
    afterAll(() => app.close());
    beforeEach(async () => {
      seen.length = 0;
      gates.length = 0;
      await redis.flush();
    });

    const post = (body: unknown, headers: Record<string, string> = {}) =>
      fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      });
    const ask = async (query: string, headers: Record<string, string> = {}): Promise<Answer> =>
      (await (await post({ query }, headers)).json()) as Answer;

    it('counts an operation once, however many of its resolvers run, and how often', async () => {
      const { data, errors } = await ask('{ flights { id details } more: flights { details } }');
      expect(errors).toBeUndefined();
      expect(data).toMatchObject({ flights: [{ details: 'flight 1' }, {}, {}], more: [{}, {}, {}] });
      expect(await remaining('api')).toBe(2);
      expect(await remaining('details')).toBe(1);
      expect(await remaining('everything')).toBe(999);
    });

    it('takes the highest cost that its resolvers ask for', async () => {
      const { errors } = await ask('{ flights { id } a: search(first: 2) { id } b: search(first: 1) { id } }');
      expect(errors).toBeUndefined();
      expect(await remaining('api')).toBe(1);
    });

    it('tells a denial by the code and the time to wait, and leaves the other fields alone', async () => {
      for (let i = 0; i < 3; i++) expect((await ask('{ flights { id } }')).errors).toBeUndefined();
      const answer = await post({ query: '{ flights { id } }' });
      // The minute and the rest of a bucket, less what has passed since it was counted: on a machine that stalls that may be seconds.
      expect(answer.headers.get('ratelimit')).toMatch(/"api";r=0;t=[3-6]\d/);
      const { errors } = (await answer.json()) as Answer;
      expect(errors).toHaveLength(1);
      expect(errors?.[0]?.message).toMatch(/^Try again in \d+[sm]/);
      expect(errors?.[0]?.extensions).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', 'violated-policies': ['api'] });
      expect(errors?.[0]?.extensions?.['retryAfter']).toBeGreaterThanOrEqual(30);
      expect((await ask('{ free }')).data).toEqual({ free: 'free' });
      expect((await ask('{ plain }')).data).toEqual({ plain: 'plain' });
      expect(await remaining('api')).toBe(0);
    });

    it('counts each operation of a batch, and of a request with the same text', async () => {
      const query = '{ flights { id } }';
      const answers = (await (await post([{ query }, { query }, { query }, { query }])).json()) as Answer[];
      expect(answers.filter(({ errors }) => errors === undefined)).toHaveLength(3);
    });

    it('counts different keys of one operation each, so that aliases don’t hide attempts on several accounts', async () => {
      const login = (...names: string[]) =>
        ask(`mutation { ${names.map((name, i) => `a${i}: login(name: "${name}")`).join(' ')} }`);
      await login('ann', 'bob', 'ann');
      expect(await remaining('login', ['login', 'ann'])).toBe(1);
      expect(await remaining('login', ['login', 'bob'])).toBe(1);
    });

    it('knows the user, the headers and the operation', async () => {
      await ask('{ flights { id } }', { 'x-user': 'ann' });
      expect(await remaining('api', ['user', 'ann'])).toBe(2);
      await ask('query Me { me: whoami }', { 'x-tenant': 'acme' });
      const [context] = seen;
      expect([context?.type, context?.header('X-Tenant'), context?.ip]).toEqual(['graphql', 'acme', '127.0.0.1']);
      expect(context?.operation).toEqual({ kind: 'query', name: 'Me', field: 'whoami' });
    });

    it('tells the quota by the fields of the answer where the server shows it to resolvers', async () => {
      const { headers } = await post({ query: '{ flights { id } }' });
      expect(headers.get('ratelimit')).toMatch(/"everything";r=999;t=6\d, "api";r=2;t=6\d/);
    });

    it('refuses what can’t be counted as bad input, and counts nothing', async () => {
      const { errors } = await ask('{ search(first: -1) { id } }');
      expect(errors?.[0]?.extensions).toMatchObject({ code: 'RATE_LIMIT_INPUT' });
      const query = 'mutation Login($name: String!) { login(name: $name) }';
      const half = (await (await post({ query, variables: { name: '\ud800' } })).json()) as Answer;
      expect(half.errors?.[0]?.extensions).toMatchObject({ code: 'RATE_LIMIT_INPUT' });
      expect(await remaining('everything')).toBe(1_000);
    });

    it('gives back what refundOn wants, by the error of the resolver, and the slot with the answer', async () => {
      await ask('mutation { fails(really: false) }');
      expect((await ask('mutation { fails(really: true) }')).errors).toHaveLength(1);
      await eventually(async () => (await limiter().peek('login', 'k')).remaining === 1, { within: 20_000 });

      const first = ask('{ exported }');
      await eventually(() => gates.length === 1, { within: 20_000 });
      expect((await ask('{ exported }')).errors?.[0]?.extensions).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED' });
      gates[0]?.();
      expect((await first).data).toEqual({ exported: 'exports' });
      await eventually(async () => (await limiter().peek('exports', 'k')).remaining === 1, { within: 20_000 });
    });

    it('limits subscriptions by the connection, once each', async () => {
      const subscribe = () =>
        new Promise<unknown[]>((resolve, reject) => {
          const values: unknown[] = [];
          client.subscribe(
            { query: 'subscription { ticks }' },
            {
              next: ({ data, errors }) => values.push(data ?? errors),
              error: reject,
              complete: () => {
                resolve(values);
              },
            },
          );
        });
      const client = createClient({ url: `${url.replace('http', 'ws')}/graphql`, webSocketImpl: WebSocket });
      try {
        expect(await subscribe()).toEqual([{ ticks: 1 }, { ticks: 2 }]);
        expect(await remaining('feeds')).toBe(1);
        expect(await subscribe()).toHaveLength(2);
        const third = await subscribe().catch((error: unknown) => error);
        expect(JSON.stringify(third)).toContain('RATE_LIMIT_EXCEEDED');
      } finally {
        await client.dispose();
      }
    });
  });

  it('fails the boot where fields are limited, and Nest runs no guards at them', async () => {
    @Resolver(() => Flight)
    class Fields {
      @RateLimit('details')
      @ResolveField(() => String)
      details(): string {
        return '';
      }

      @Query(() => Flight)
      flight(): Flight {
        return new Flight(1);
      }
    }
    const boot = async (resolver: Type, options: Partial<ApolloDriverConfig>) => {
      const testing = await compileApp(
        redis.connection,
        { policies },
        {
          imports: [
            GraphQLModule.forRoot<ApolloDriverConfig>({ driver: ApolloDriver, autoSchemaFile: true, ...options }),
          ],
          providers: [resolver],
        },
      );
      const application = testing.createNestApplication();
      try {
        await application.init();
      } finally {
        await application.close();
      }
    };
    await expect(boot(Fields, {})).rejects.toThrow("fieldResolverEnhancers: ['guards']");
    await boot(Fields, { fieldResolverEnhancers: ['guards'] });
  });
});
