import type { RequestTransport } from './context.js';
import { effectiveLimits, limitsAt, type DeclaredLimit, type GlobalLimit } from './declared-limits.js';

/** Of each handler and the class it is called on: one class may inherit the handlers of another. */
class PerHandler<T> {
  readonly #values = new WeakMap<object, Map<string, WeakMap<object, T>>>();

  of(controller: object, handler: object, kind: string, make: () => T): T {
    const kinds = this.#values.get(handler) ?? new Map<string, WeakMap<object, T>>();
    this.#values.set(handler, kinds);
    const classes = kinds.get(kind) ?? new WeakMap<object, T>();
    kinds.set(kind, classes);
    const value = classes.get(controller) ?? make();
    classes.set(controller, value);
    return value;
  }
}

/** The limits of handlers in one module. Declarations don't change once classes are defined, so each handler is looked at once. */
export class RouteLimits {
  readonly #effective = new PerHandler<readonly DeclaredLimit[]>();
  readonly #name: string;
  readonly #global: readonly GlobalLimit[];

  constructor(name: string, global: readonly GlobalLimit[]) {
    this.#name = name;
    this.#global = global;
  }

  of(controller: object, handler: object, transport: RequestTransport): readonly DeclaredLimit[] {
    return this.#effective.of(controller, handler, transport, () => {
      const global = this.#global.filter(({ on }) => on.includes(transport));
      return effectiveLimits(this.#name, global, controller, handler);
    });
  }
}

/** The modules whose policies stand at handlers. */
export class RouteLimiters {
  readonly #names = new PerHandler<readonly string[]>();

  of(controller: object, handler: object): readonly string[] {
    return this.#names.of(controller, handler, '', () => [
      ...new Set([...limitsAt(controller), ...limitsAt(handler)].map(({ limiter }) => limiter)),
    ]);
  }
}
