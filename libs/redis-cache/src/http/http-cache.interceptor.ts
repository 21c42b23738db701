import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import { RedisCommandError, RedisUnavailableError, type Key } from '@redstart/redis-core';
import { of, type Observable } from 'rxjs';
import { takesStale, type Loader, type SelectiveLoadOptions } from '../calls/call.options.js';
import type { CacheService } from '../cache.service.js';
import { keysOf } from '../decorators/method-key.js';
import type { LoadContext } from '../load/load-context.js';
import type { CachedRoutes } from './cached-routes.js';
import { Exchange, type Answer } from './exchange.js';
import { HttpResponse } from './http-response.js';
import { bypassReason, isPersonal, wantedAgeSeconds } from './request-checks.js';
import { requestKey, type CachedRequest } from './request-key.js';
import { ageOf, send, tell } from './send-response.js';
import { isStoredResponse, type Storable, type StoredResponse } from './stored-response.js';

/** What those get who have shared a load whose response is not to be shared: each asks the handler for its own. */
const notShared = 'not shared';
/** What durations allow at all. */
const longestMs = 365 * 24 * 60 * 60 * 1000;

/**
 * Answers requests of cached routes. It stands around all other interceptors, so that what they make of a response is stored as well: one that takes
 * fields out for the client's eyes would have nothing to go by on a hit.
 */
export class HttpCacheInterceptor implements NestInterceptor {
  constructor(
    private readonly routes: CachedRoutes,
    private readonly cache: CacheService,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const route = this.routes.routeOf(context.getHandler());
    if (route === undefined || context.getType() !== 'http') return next.handle();
    const { options, propertyKey } = route;
    const http = context.switchToHttp();
    const request = http.getRequest<CachedRequest>();
    const response = new HttpResponse(http.getResponse(), this.adapterHost.httpAdapter);
    const reason = bypassReason(request, options);
    if (reason !== undefined) {
      tell(response, { kind: 'bypass', reason });
      return next.handle();
    }
    const identity = await options.varyBy?.(request);
    if (identity === undefined && isPersonal(request)) {
      // The handler may say otherwise; whoever caches further out must not take silence for consent.
      if (response.header('cache-control') === undefined) response.setHeader('Cache-Control', 'private, no-cache');
      tell(response, { kind: 'bypass', reason: 'personal' });
      return next.handle();
    }
    const key = requestKey([context.getClass().name, propertyKey], request, options, identity);
    const exchange = new Exchange(request, response, options, key, identity, next);
    return of(await (request.method === 'HEAD' ? this.#head(exchange) : this.#get(exchange)));
  }

  /** Answered from what a GET has stored. What a handler does for HEAD may have no body, so it is not stored. */
  async #head(exchange: Exchange): Promise<unknown> {
    const wanted = wantedAge(exchange);
    const stored = wanted === 0 ? undefined : await this.cache.get(exchange.key, knownTags(exchange));
    const isOld = isStoredResponse(stored) && ageOf(stored) > wanted;
    if (isStoredResponse(stored) && !isOld) return send(exchange, stored, { kind: 'hit' });
    const { value } = await exchange.run();
    tell(exchange.response, { kind: wanted === 0 || isOld ? 'request' : 'miss', notStored: 'head' });
    return value;
  }

  async #get(exchange: Exchange): Promise<unknown> {
    const { key } = exchange;
    const options: SelectiveLoadOptions<unknown> = {
      ...exchange.options.load,
      ...knownTags(exchange),
      // A load after the answer would have no response to write to.
      staleWhileRevalidate: 0,
      refreshAhead: false,
      [takesStale]: (stale) => exchange.takesStale(stale),
    };
    const loader: Loader<unknown> = (context) => load(exchange, context);
    const isAnew = await this.#isToBeAnew(exchange);
    const found = await (isAnew
      ? this.cache.loadAnew(key, loader, options).catch(ignoreOutage)
      : this.cache.getOrSet(key, loader, options));
    const kind = isAnew ? 'request' : 'miss';
    if (exchange.answer !== undefined) return sendOwn(exchange, exchange.answer, kind);
    if (!isStoredResponse(found)) return sendOwn(exchange, await exchange.run(), kind);
    const stale = exchange.isStale(found);
    if (stale) exchange.forgetAttempt();
    return send(exchange, found, { kind: 'hit', stale });
  }

  /** Whether the client does not want what is there. */
  async #isToBeAnew(exchange: Exchange): Promise<boolean> {
    const wanted = wantedAge(exchange);
    if (wanted === 0 || wanted === Infinity) return wanted === 0;
    const kept = await this.cache.get(exchange.key, knownTags(exchange));
    return isStoredResponse(kept) && ageOf(kept) > wanted;
  }
}

/** How old the client will have a response at most, in seconds. */
function wantedAge({ options, request }: Exchange): number {
  return (options.heedsDirectives ? wantedAgeSeconds(request) : undefined) ?? Infinity;
}

async function load(exchange: Exchange, context: LoadContext): Promise<StoredResponse | typeof notShared> {
  const { value, storable } = await exchange.run();
  if (typeof storable === 'string') {
    context.skipCache();
    return notShared;
  }
  context.addTags(...resultTags(exchange, value));
  const lifetime = lifetimeOf(exchange, storable);
  if (lifetime !== undefined) context.setTtl(lifetime);
  return storable.response;
}

function sendOwn(exchange: Exchange, { value, storable }: Answer, kind: 'miss' | 'request'): unknown {
  if (typeof storable !== 'string') return send(exchange, storable.response, { kind });
  if (!exchange.response.isSent) tell(exchange.response, { kind, notStored: storable });
  return value;
}

function knownTags({ options: { tags }, request }: Exchange): { readonly tags: readonly Key[] } {
  const found = typeof tags === 'function' ? tags(request) : tags;
  return { tags: keysOf(found, [], '@HttpCache.tags') };
}

function resultTags({ options, request }: Exchange, value: unknown): readonly Key[] {
  return keysOf(options.resultTags?.(value, request), [], '@HttpCache.resultTags');
}

/** What the handler says, where that is less than the options do. */
function lifetimeOf({ options: { ttlMs } }: Exchange, { maxAgeSeconds }: Storable): number | undefined {
  if (maxAgeSeconds === undefined) return undefined;
  return Math.min(maxAgeSeconds * 1000, ttlMs ?? longestMs);
}

/** Where Redis can't be told that something is to be loaded anew, the handler is asked all the same. If that has thrown it, its exchange throws it once more. */
function ignoreOutage(error: unknown): void {
  const isOurs = error instanceof RedisUnavailableError || error instanceof RedisCommandError;
  if (!isOurs) throw error;
}
