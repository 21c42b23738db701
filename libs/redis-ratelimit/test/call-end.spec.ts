import {
  Controller,
  ForbiddenException,
  Get,
  HttpException,
  Injectable,
  Param,
  ParseIntPipe,
  Res,
  UseGuards,
  type CanActivate,
  type INestApplication,
} from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ManualClock } from '@redstart/redis-core';
import { describeOn, eventually, standalone } from '@redstart/redis-testing';
import { once } from 'node:events';
import { request as httpRequest, type ServerResponse } from 'node:http';
import {
  concurrency,
  createPolicies,
  currentSlot,
  RateLimit,
  RateLimitService,
  slidingWindow,
  SlotLostError,
} from '../src/index.js';
import { CallEnd, type CallOutcome } from '../src/requests/call-end.js';
import { compileApp } from './test-app.js';

const policies = createPolicies({
  exports: concurrency({ limit: 1, lease: '30s' }),
  short: concurrency({ limit: 1, lease: '3s' }),
  tries: slidingWindow({ limit: 2, window: '1h' }),
});
const key = () => 'k';

@Injectable()
class Refuses implements CanActivate {
  canActivate(): boolean {
    throw new ForbiddenException();
  }
}

/** Requests that wait until the test lets them go on. */
const gates: (() => void)[] = [];

@RateLimit('exports', { key })
@Controller('exports')
class ExportsController {
  @Get('slow')
  async slow() {
    await new Promise<void>((resolve) => gates.push(resolve));
    return 'done';
  }

  @Get('slot')
  async slot() {
    await new Promise(setImmediate);
    return { policy: currentSlot()?.decision.policy, lost: currentSlot()?.signal.aborted };
  }

  @Get('fails')
  fails() {
    throw new Error('on purpose');
  }

  @UseGuards(Refuses)
  @Get('refused')
  refused() {
    return 'never';
  }

  @Get('piped/:id')
  piped(@Param('id', ParseIntPipe) id: number) {
    return id;
  }

  @Get('manual')
  manual(@Res() response: { send(body: string): unknown }) {
    response.send('sent');
  }
}

@Controller('short')
class ShortController {
  /** Goes on until the slot is lost. */
  @RateLimit('short', { key })
  @Get()
  async untilLost() {
    gates.push(() => undefined);
    const signal = currentSlot()?.signal;
    if (signal === undefined) return 'none';
    await once(signal, 'abort');
    const reason: unknown = signal.reason;
    return reason instanceof SlotLostError ? reason.reason : 'something else';
  }

  @Get('unlimited')
  unlimited() {
    return currentSlot()?.decision.policy ?? 'none';
  }
}

/** What `refundOn` was told. */
const told: CallOutcome[] = [];
const successOnly = (outcome: CallOutcome) => {
  told.push(outcome);
  return outcome.status === 200;
};

@Controller('tries')
class TriesController {
  @RateLimit('tries', { key, refundOn: successOnly })
  @Get('slow')
  async slow() {
    await new Promise<void>((resolve) => gates.push(resolve));
    return 'done';
  }

  @RateLimit('tries', { key, refundOn: successOnly })
  @Get('half')
  half(@Res() response: { raw?: ServerResponse } & ServerResponse) {
    const raw = response.raw ?? response;
    raw.writeHead(200).write('half');
    gates.push(() => raw.end('of it'));
  }

  @RateLimit('tries', { key, refundOn: async ({ status }) => Promise.resolve(status === 500) })
  @Get('later/:status')
  later(@Param('status', ParseIntPipe) status: number) {
    throw new HttpException('on purpose', status);
  }

  @RateLimit('tries', { key, refundOn: ({ status = 200, aborted }) => status >= 400 || aborted })
  @Get(':id')
  try(@Param('id', ParseIntPipe) id: number) {
    return id;
  }
}

const adapters: [string, () => ExpressAdapter | FastifyAdapter][] = [
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
];

describeOn(standalone)('the end of a request', (redis) => {
  describe.each(adapters)('on %s', (_, adapter) => {
    let app: INestApplication;
    let url: string;

    beforeAll(async () => {
      const testing = await compileApp(
        redis.connection,
        { policies, budget: '5s', deniedKeys: 0 },
        { controllers: [ExportsController, ShortController, TriesController] },
      );
      app = testing.createNestApplication(adapter());
      await app.listen(0, '127.0.0.1');
      url = await app.getUrl();
    });
    afterAll(() => app.close());
    beforeEach(async () => {
      gates.length = 0;
      await redis.flush();
    });

    const status = async (path: string) => {
      const answer = await fetch(`${url}${path}`);
      await answer.text();
      return answer.status;
    };
    const remaining = async (policy: string) => (await app.get(RateLimitService).peek(policy, 'k')).remaining;
    const slotsComeBack = () => eventually(async () => (await remaining('exports')) === 1);

    it('gives the slot back, and denies a second request with 503 until then', async () => {
      const first = status('/exports/slow');
      await eventually(() => gates.length === 1);
      const denied = await fetch(`${url}/exports/slow`);
      expect(denied.status).toBe(503);
      expect(Number(denied.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(denied.headers.get('ratelimit-policy')).toBe('"exports";q=1;qu="concurrent-requests"');
      expect(await denied.json()).toMatchObject({
        type: 'https://iana.org/assignments/http-problem-types#temporary-reduced-capacity',
        'violated-policies': ['exports'],
      });
      gates[0]?.();
      expect(await first).toBe(200);
      await slotsComeBack();
    });

    it('lets the handler find its slot, and stop when that is lost', async () => {
      expect(await (await fetch(`${url}/exports/slot`)).json()).toEqual({ policy: 'exports', lost: false });
      expect(await (await fetch(`${url}/short/unlimited`)).text()).toBe('none');
      const stopped = fetch(`${url}/short`);
      await eventually(() => gates.length === 1);
      expect(await redis.client().del('test:ratelimit:{k}:short:slots')).toBe(1);
      expect(await (await stopped).text()).toBe('gone');
    });

    it.each([
      ['a handler throws', '/exports/fails', 500],
      ['a later guard refuses', '/exports/refused', 403],
      ['a pipe refuses', '/exports/piped/x', 400],
      ['the handler answers by itself', '/exports/manual', 200],
    ])('gives the slot back when %s', async (_case, path, expected) => {
      expect(await status(path)).toBe(expected);
      await slotsComeBack();
    });

    it('gives the slot back when the client leaves', async () => {
      const leaving = httpRequest(`${url}/exports/slow`);
      leaving.on('error', () => undefined);
      leaving.end();
      await eventually(() => gates.length === 1);
      expect(await remaining('exports')).toBe(0);
      leaving.destroy();
      await slotsComeBack();
      gates[0]?.();
    });

    it('tells refundOn no status of an answer that was never given', async () => {
      told.length = 0;
      const leaving = httpRequest(`${url}/tries/slow`);
      leaving.on('error', () => undefined);
      leaving.end();
      await eventually(() => gates.length === 1);
      leaving.destroy();
      await eventually(() => {
        expect(told).toEqual([{ status: undefined, error: undefined, aborted: true }]);
      });
      gates[0]?.();
      // A refund would have been sent before this question.
      expect(await remaining('tries')).toBe(1);
    });

    it('tells refundOn the status of an answer that was cut off', async () => {
      told.length = 0;
      const leaving = httpRequest(`${url}/tries/half`, (answer) => {
        answer.on('error', () => undefined);
        answer.once('data', () => leaving.destroy());
      });
      leaving.on('error', () => undefined);
      leaving.end();
      await eventually(() => {
        expect(told).toEqual([{ status: 200, error: undefined, aborted: true }]);
      });
      gates[0]?.();
    });

    it('waits for what refundOn says later', async () => {
      expect(await status('/tries/later/400')).toBe(400);
      expect(await status('/tries/later/500')).toBe(500);
      await eventually(async () => (await remaining('tries')) === 1);
      expect(await status('/tries/later/400')).toBe(400);
      expect(await status('/tries/later/400')).toBe(429);
    });

    it('refunds what refundOn wants back, by the status of the answer', async () => {
      expect(await status('/tries/1')).toBe(200);
      expect(await status('/tries/x')).toBe(400);
      await eventually(async () => (await remaining('tries')) === 1);
      expect(await status('/tries/2')).toBe(200);
      expect(await status('/tries/3')).toBe(429);
    });
  });
});

describe('the end of a message', () => {
  const start = () => {
    const clock = new ManualClock();
    const outcomes: CallOutcome[] = [];
    const end = new CallEnd({ response: undefined }, clock);
    end.onEnd((outcome) => outcomes.push(outcome));
    return { clock, outcomes, end };
  };

  it('comes with its handler, however long that takes', () => {
    const { clock, outcomes, end } = start();
    end.claim();
    clock.advance(1_000_000);
    expect(outcomes).toEqual([]);
    end.failed('why');
    end.handled();
    end.handled();
    expect(outcomes).toEqual([{ status: undefined, error: 'why', aborted: false }]);
  });

  it('comes by itself when a later guard keeps it from its handler, and is told to whoever asks after that', () => {
    const { clock, outcomes, end } = start();
    clock.advance(9_999);
    expect(outcomes).toEqual([]);
    clock.advance(1);
    expect(outcomes).toEqual([{ status: undefined, error: undefined, aborted: true }]);
    end.handled();
    const late: CallOutcome[] = [];
    end.onEnd((outcome) => late.push(outcome));
    expect(late).toEqual(outcomes);
  });
});
