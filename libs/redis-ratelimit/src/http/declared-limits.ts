import 'reflect-metadata';
import type { PolicyReference } from '../policies/policy-book.js';
import type { RateLimitContext, RequestKey } from './by.js';

/** A cost, or the function that reads it from the request. */
export type RequestCost = number | ((context: RateLimitContext) => number | Promise<number>);

/** One `@RateLimit`, as it stands at a class or a method. */
export interface DeclaredLimit {
  readonly policy: PolicyReference;
  /** The name of the module that holds the policy. */
  readonly limiter: string;
  readonly key: RequestKey | undefined;
  readonly cost: RequestCost;
}

/** One `@SkipRateLimit`: some names, or all when there is none. */
export type DeclaredSkip = readonly string[];

/** Symbols of this file, so nobody else writes under them: what is read there has the type that was written. */
const limitsKey = Symbol('@RateLimit');
const skipsKey = Symbol('@SkipRateLimit');

export const declareLimit = (place: object, limit: DeclaredLimit): void => {
  // Decorators run from the bottom up; the first in the text comes first.
  Reflect.defineMetadata(limitsKey, [limit, ...limitsAt(place)], place);
};

export const declareSkip = (place: object, skip: DeclaredSkip): void => {
  Reflect.defineMetadata(skipsKey, [skip, ...skipsAt(place)], place);
};

/** What stands at one class, inherited included, or at one method. */
export function limitsAt(place: object): readonly DeclaredLimit[] {
  const limits: unknown = Reflect.getMetadata(limitsKey, place);
  return Array.isArray(limits) ? (limits as DeclaredLimit[]) : [];
}

export function skipsAt(place: object): readonly DeclaredSkip[] {
  const skips: unknown = Reflect.getMetadata(skipsKey, place);
  return Array.isArray(skips) ? (skips as DeclaredSkip[]) : [];
}

/** Whether the route brings a guard of its own, which then decides the global limits too: all in one go, and after authentication. */
export function hasOwnLimits(controller: object, handler: object, limiter: string): boolean {
  return [...limitsAt(controller), ...limitsAt(handler)].some((limit) => limit.limiter === limiter);
}

/**
 * The limits of a route in one module, from the outermost in: the global ones, those of the class, those of the method.
 *
 * An inner limit replaces outer ones of the same policy, since it says more precisely what its key and cost are. A skip removes what is declared further out,
 * so `@SkipRateLimit() @RateLimit('login')` leaves just `login`.
 */
export function effectiveLimits(
  limiter: string,
  global: readonly DeclaredLimit[],
  controller: object,
  handler: object,
): DeclaredLimit[] {
  let effective = [...global];
  for (const place of [controller, handler]) {
    const own = limitsAt(place).filter((limit) => limit.limiter === limiter);
    const skips = skipsAt(place);
    const replaced = (name: string) =>
      own.some(({ policy }) => policy.name === name) ||
      skips.some((names) => names.length === 0 || names.includes(name));
    effective = [...effective.filter(({ policy }) => !replaced(policy.name)), ...own];
  }
  return effective;
}
