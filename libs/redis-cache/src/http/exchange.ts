import type { CallHandler } from '@nestjs/common';
import type { Key } from '@redstart/redis-core';
import { lastValueFrom } from 'rxjs';
import type { ResolvedHttpCache } from './http-cache.options.js';
import type { HeaderValues, HttpResponse } from './http-response.js';
import type { CachedRequest } from './request-key.js';
import {
  forbidsStale,
  headersNow,
  isStoredResponse,
  toStore,
  type HeadersBefore,
  type Storable,
  type Unstorable,
} from './stored-response.js';

/** What a handler has answered to one request. */
export interface Answer {
  readonly value: unknown;
  readonly storable: Storable | Unstorable;
}

/** One request that goes through the cache. Its handler runs once at most, whoever asks for it. */
export class Exchange {
  /** What its own handler has answered, once it has. */
  answer: Answer | undefined;
  /** The response that may be served if its handler fails. */
  #stale: unknown;
  /** What the response said before its handler ran, once it does. */
  #before: HeaderValues | undefined;
  #running: Promise<Answer> | undefined;

  constructor(
    readonly request: CachedRequest,
    readonly response: HttpResponse,
    readonly options: ResolvedHttpCache,
    readonly key: Key,
    /** Whose response it is; `undefined` for nobody in particular. */
    readonly identity: Key | undefined,
    private readonly next: CallHandler,
  ) {}

  /** Whether a stale response may be served for want of another. */
  takesStale(stale: unknown): boolean {
    const takes = isStoredResponse(stale) && !forbidsStale(stale, this.response.header('cache-control'));
    if (takes) this.#stale = stale;
    return takes;
  }

  /** Whether this is what was served for want of another: by its identity, as nobody else has got it. */
  isStale(found: unknown): boolean {
    return found === this.#stale;
  }

  /** Takes back what the handler has said of the response before it failed. */
  forgetAttempt(): void {
    if (this.#before !== undefined) this.response.values = this.#before;
  }

  /** Runs the handler, with the interceptors around it. */
  run(): Promise<Answer> {
    return (this.#running ??= this.#run());
  }

  async #run(): Promise<Answer> {
    const before = headersNow(this.response);
    this.#before = this.response.values;
    const value: unknown = await lastValueFrom(this.next.handle(), { defaultValue: undefined });
    this.answer = { value, storable: this.#storable(value, before) };
    return this.answer;
  }

  #storable(value: unknown, before: HeadersBefore): Storable | Unstorable {
    const storable = toStore(value, this.response, before, this.options, this.identity !== undefined);
    if (typeof storable === 'string') return storable;
    return this.options.unless?.(value, this.request) === true ? 'unless' : storable;
  }
}
