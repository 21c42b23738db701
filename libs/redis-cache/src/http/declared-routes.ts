import 'reflect-metadata';
import type { ResolvedHttpCache } from './http-cache.options.js';

/** A symbol of this file, so nobody else writes under it. */
const declaredKey = Symbol('@HttpCache');

/** A method with `@HttpCache`. */
export interface DeclaredRoute {
  readonly propertyKey: string;
  readonly options: ResolvedHttpCache;
}

/** Remembers a route on its prototype, where no decorator above can cover it. */
export function declareHttpCache(prototype: object, propertyKey: string, options: ResolvedHttpCache): void {
  const others = ownRoutes(prototype).filter((route) => route.propertyKey !== propertyKey);
  Reflect.defineMetadata(declaredKey, [...others, { propertyKey, options }], prototype);
}

/** Those of a class and of all it inherits from, without what it overrides. */
export function declaredRoutes(prototype: object): DeclaredRoute[] {
  const parent: unknown = Object.getPrototypeOf(prototype);
  const inherited = typeof parent === 'object' && parent !== null ? declaredRoutes(parent) : [];
  return [...ownRoutes(prototype), ...inherited.filter(({ propertyKey }) => !Object.hasOwn(prototype, propertyKey))];
}

function ownRoutes(prototype: object): readonly DeclaredRoute[] {
  const routes: unknown = Reflect.getOwnMetadata(declaredKey, prototype);
  // Only declareHttpCache writes it.
  return Array.isArray(routes) ? (routes as DeclaredRoute[]) : [];
}
