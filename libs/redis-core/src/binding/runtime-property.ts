import { Inject } from '@nestjs/common';

/**
 * Has Nest inject the service of a decorator into every instance of a class, as the property named by the token itself: Nest's boot error shows the
 * name of the property, and the token's says which module is missing. Several decorators of one library share the property.
 *
 * A setter on the prototype keeps it out of sight: not enumerable, so that logs, JSON and comparisons of the instance don't show it.
 */
export function injectRuntime(target: object, token: symbol): void {
  Inject(token)(target, token);
  if (token in target) return;
  Object.defineProperty(target, token, {
    configurable: true,
    get: () => undefined,
    set(this: object, runtime: unknown) {
      Object.defineProperty(this, token, { value: runtime, writable: true, configurable: true, enumerable: false });
    },
  });
}

/** The service that Nest injected, or `undefined` for an instance that Nest did not build. */
export function runtimeOf(instance: object, token: symbol): unknown {
  return Reflect.get(instance, token);
}
