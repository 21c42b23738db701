import 'reflect-metadata';

const keylessMethods = Symbol.for('@redstart/redis-cache:keyless');

/** A method whose `@Cacheable` has no `key`. */
export interface KeylessMethod {
  readonly cache: string;
  readonly propertyKey: string;
  /** What it says itself; `@CacheConfig` may say it for all of a class. */
  readonly namespace: string | undefined;
  /** Whether it has a `varyBy`: its callers are told apart. */
  readonly varies: boolean;
  /** The prototype that holds it. */
  readonly declaredOn: object;
}

/** Remembers a method on its prototype, where no decorator above can cover it. */
export function recordKeyless(target: object, method: Omit<KeylessMethod, 'declaredOn'>): void {
  const known = ownKeyless(target);
  Reflect.defineMetadata(keylessMethods, [...known, { ...method, declaredOn: target }], target);
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
