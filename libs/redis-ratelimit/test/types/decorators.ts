import type { Observable } from 'rxjs';
import {
  all,
  by,
  createPolicies,
  ipIn,
  LimitCalls,
  RateLimit,
  RedisRateLimitModule,
  slidingWindow,
  userIn,
  type PolicyName,
  type RateLimitService,
} from '../../src/index.js';

export const policies = createPolicies({
  api: slidingWindow({ limit: 100, window: '1m' }),
  login: all(slidingWindow({ limit: 5, window: '1m' }), slidingWindow({ limit: 30, window: '1h' }), {
    onError: 'closed',
  }),
});

// @ts-expect-error a window is a duration
slidingWindow({ limit: 1, window: '5 minutes' });
// @ts-expect-error a limit is required
slidingWindow({ window: '5m' });
// @ts-expect-error options come last
all({ onError: 'open' }, slidingWindow({ limit: 1, window: 1 }));
// @ts-expect-error no such way
all(slidingWindow({ limit: 1, window: 1 }), { onError: 'ajar' });

export async function names(limiter: RateLimitService<PolicyName<typeof policies>>): Promise<void> {
  await limiter.consume('api', ['user', 1], { cost: 2 });
  // @ts-expect-error no policy of that name
  await limiter.consume('apii', 'x');
  // @ts-expect-error a key is no object
  await limiter.consume('api', {});
}

export class Calls {
  @LimitCalls('api', { key: (id: string) => id, cost: (_: string, seats: number) => seats })
  async fits(id: string, seats: number, more: boolean): Promise<string> {
    return Promise.resolve(`${id}${seats}${more}`);
  }

  @LimitCalls(slidingWindow({ limit: 1, window: '1s' }), { key: () => 'partner' })
  async constant(): Promise<void> {
    await Promise.resolve();
  }

  // @ts-expect-error the key wants a string, the method has a number
  @LimitCalls('api', { key: (id: string) => id })
  async wrongType(id: number): Promise<number> {
    return Promise.resolve(id);
  }

  // @ts-expect-error the cost wants a number, the method has a string
  @LimitCalls('api', { key: (id: string) => id, cost: (_: string, seats: number) => seats })
  async wrongCost(id: string, seats: string): Promise<string> {
    return Promise.resolve(id + seats);
  }

  // @ts-expect-error a synchronous method can't wait for a decision
  @LimitCalls('api', { key: () => 'x' })
  sync(): number {
    return 1;
  }

  @LimitCalls('api', { key: () => 'x' })
  observable(): Observable<number> {
    throw new Error('only its type matters');
  }
}

// @ts-expect-error the key is required
LimitCalls('api', {});

@RateLimit('api')
export class Routes {
  @RateLimit(
    { limit: 10, window: '1m' },
    { key: by.any(by.apiKey('x-key'), by.ip()), cost: async ({ ip }) => Promise.resolve(ip ? 1 : 2) },
  )
  handler(): string {
    return '';
  }

  @RateLimit('login', { key: (context) => context.header('x-tenant') })
  other(): string {
    return '';
  }
}

// @ts-expect-error a key function returns a key
RateLimit('api', { key: () => ({}) });

RateLimit({ rate: 10, per: '1s' }, { skip: ipIn('10.0.0.0/8'), anonymous: { policy: 'guests', key: by.ip() } });
RateLimit('api', { refundOn: ({ status = 200, error, aborted }) => status >= 500 || error !== undefined || aborted });
RateLimit('api', { skip: async ({ user }) => Promise.resolve(user !== undefined), anonymous: 'refuse' });
// @ts-expect-error a condition says yes or no
RateLimit('api', { skip: () => 'yes' });
// @ts-expect-error no such way
RateLimit('api', { anonymous: 'allow' });
RateLimit('api', { refundOn: async () => Promise.resolve(true) });
// @ts-expect-error it says yes or no
RateLimit('api', { refundOn: () => 'yes' });
RedisRateLimitModule.forRoot({
  policies,
  global: ['api', { policy: 'login', on: ['ws'], cost: 2 }],
  deny: [userIn('eve')],
});
// @ts-expect-error no such transport
RedisRateLimitModule.forRoot({ policies, global: [{ policy: 'login', on: ['grpc'] }] });
