import 'reflect-metadata';
import type { PolicyReference } from '../policies/policy-book.js';
import type { AnonymousRule } from './anonymous.js';
import type { RequestKey } from './by.js';
import type { RefundRule } from './call-end.js';
import type { RateLimitContext, RequestMatch, RequestTransport } from './context.js';

/** A cost, or the function that reads it from the call. */
export type RequestCost = number | ((context: RateLimitContext) => number | Promise<number>);

/** One `@RateLimit`, as it stands at a class or a method. */
export interface DeclaredLimit {
  readonly policy: PolicyReference;
  /** The name of the module that holds the policy. */
  readonly limiter: string;
  readonly key: RequestKey | undefined;
  readonly cost: RequestCost;
  readonly skip: RequestMatch | undefined;
  /** What happens to calls without an identity, where it differs from the module's. */
  readonly anonymous: AnonymousRule | undefined;
  readonly refundOn: RefundRule | undefined;
}

/** A policy of `global`, and the transports whose calls it limits. */
export interface GlobalLimit extends DeclaredLimit {
  readonly on: readonly RequestTransport[];
}

/** One `@SkipRateLimit`: some names, or all when there is none. */
export type DeclaredSkip = readonly string[];

/** Symbols of this file, so nobody else writes under them: what is read there has the type that was written. */
const limitsKey = Symbol('@RateLimit');
const skipsKey = Symbol('@SkipRateLimit');
const placesKey = Symbol('@RateLimit and @SkipRateLimit of methods');

/** Where a decorator stands: at a class, or at a method, which its prototype remembers. */
export interface Place {
  readonly decorated: object;
  readonly method?: { readonly prototype: object; readonly name: string | symbol };
}

/** A decorator at a method, as the class remembers it: the function may be replaced by a decorator above. */
interface DeclaredMethod {
  readonly name: string | symbol;
  readonly declaration: DeclaredLimit | DeclaredSkip;
}

export const declareLimit = (place: Place, limit: DeclaredLimit): void => {
  // Decorators run from the bottom up; the first in the text comes first.
  Reflect.defineMetadata(limitsKey, [limit, ...ownLimits(place.decorated)], place.decorated);
  remember(place, limit);
};

export const declareSkip = (place: Place, skip: DeclaredSkip): void => {
  Reflect.defineMetadata(skipsKey, [skip, ...ownSkips(place.decorated)], place.decorated);
  remember(place, skip);
};

/** What stands at one class and its bases, or at one method. */
export function limitsAt(place: object): readonly DeclaredLimit[] {
  return lineage(place).flatMap(ownLimits);
}

export function skipsAt(place: object): readonly DeclaredSkip[] {
  return lineage(place).flatMap(ownSkips);
}

/** The methods of a class, inherited included, that have lost a declaration: another decorator has put a function without it in their place. */
export function methodsWithoutTheirDeclaration(type: { readonly prototype: object }): (string | symbol)[] {
  const lost = new Set<string | symbol>();
  for (let owner: unknown = type.prototype; owner instanceof Object; owner = Object.getPrototypeOf(owner)) {
    for (const { name, declaration } of declaredMethods(owner)) {
      const method: unknown = Reflect.getOwnPropertyDescriptor(owner, name)?.value;
      if (typeof method !== 'function' || Reflect.get(type.prototype, name) !== method) continue; // Overridden.
      const kept: readonly unknown[] = [...ownLimits(method), ...ownSkips(method)];
      if (!kept.includes(declaration)) lost.add(name);
    }
  }
  return [...lost];
}

function ownLimits(place: object): readonly DeclaredLimit[] {
  const limits: unknown = Reflect.getOwnMetadata(limitsKey, place);
  return Array.isArray(limits) ? (limits as DeclaredLimit[]) : [];
}

function ownSkips(place: object): readonly DeclaredSkip[] {
  const skips: unknown = Reflect.getOwnMetadata(skipsKey, place);
  return Array.isArray(skips) ? (skips as DeclaredSkip[]) : [];
}

function remember({ method }: Place, declaration: DeclaredMethod['declaration']): void {
  if (method === undefined) return;
  const { prototype, name } = method;
  Reflect.defineMetadata(placesKey, [...declaredMethods(prototype), { name, declaration }], prototype);
}

function declaredMethods(prototype: object): readonly DeclaredMethod[] {
  const methods: unknown = Reflect.getOwnMetadata(placesKey, prototype);
  return Array.isArray(methods) ? (methods as DeclaredMethod[]) : [];
}

/** A class after its bases: what a base declares stands further out. A method stands alone. */
function lineage(place: object): object[] {
  const places: object[] = [];
  for (let at: unknown = place; typeof at === 'function' && at !== Function.prototype; at = Object.getPrototypeOf(at)) {
    places.unshift(at);
  }
  return places;
}

/**
 * The limits of a route in one module, from the outermost in: the global ones, those of base classes, those of the class, those of the method.
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
  for (const place of [...lineage(controller), ...lineage(handler)]) {
    const own = ownLimits(place).filter((limit) => limit.limiter === limiter);
    const skips = ownSkips(place);
    const replaced = (name: string) =>
      own.some(({ policy }) => policy.name === name) ||
      skips.some((names) => names.length === 0 || names.includes(name));
    effective = [...effective.filter(({ policy }) => !replaced(policy.name)), ...own];
  }
  return effective;
}
