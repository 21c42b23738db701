import 'reflect-metadata';

const keylessMethods = Symbol.for('@redstart/redis-cache:keyless');

/** A method whose `@Cacheable` has no `key`. */
export interface KeylessMethod {
  readonly cache: string;
  readonly propertyKey: string;
  /** The prototype that holds it. */
  readonly declaredOn: object;
}

/** Remembers a method on its prototype, where no decorator above can cover it. */
export function recordKeyless(target: object, cache: string, propertyKey: string): void {
  const known = ownKeyless(target);
  Reflect.defineMetadata(keylessMethods, [...known, { cache, propertyKey, declaredOn: target }], target);
}

/** Those of a class and of all it inherits from; an overridden one counts, since `super` may call it. */
export function keylessOf(prototype: object): KeylessMethod[] {
  const parent: unknown = Object.getPrototypeOf(prototype);
  const inherited = typeof parent === 'object' && parent !== null ? keylessOf(parent) : [];
  return [...ownKeyless(prototype), ...inherited];
}

function ownKeyless(prototype: object): KeylessMethod[] {
  const known: unknown = Reflect.getOwnMetadata(keylessMethods, prototype);
  // Only recordKeyless writes it.
  return Array.isArray(known) ? (known as KeylessMethod[]) : [];
}
