import 'reflect-metadata';
import { isObservable } from 'rxjs';
import { OptionsError } from '../redis.errors.js';
import type { KeyedMethodDecorator } from './key-of.js';
import type { Method, MethodBinding } from './method-binding.js';
import { callForObservable } from './observable-call.js';
import { callForPromise } from './promise-call.js';
import { injectRuntime } from './runtime-property.js';

/**
 * Binds a method to a service of the application that its instance belongs to: the base of every method decorator of Redstart.
 *
 * Nest is asked to inject the service into a symbol property of each instance, and a proxy in the place of the method hands every call to `around`. So it
 * works wherever Nest builds the class: controllers, services, request-scoped and transient providers, subclasses, several
 * applications in one process. A missing module is Nest's own boot error, which names the class and the token. The proxy keeps
 * `this`, name, length and metadata, so other decorators may stand above and below; stacked ones run from top to bottom.
 *
 * The method returns a promise, or is declared to return an `Observable`. Then `around` runs for each subscriber, the values of the source stream
 * through as they come, and the end waits for `around`. If that never called `proceed`, its result is emitted as the one value, unless it
 * is `undefined`. Unsubscribing early aborts `call.signal`, cancels the source, and `proceed` rejects with a `MethodCancelledError`; `proceed(until)` cancels it, too,
 * when `until` aborts.
 *
 * @param binding with the type of the leading arguments as `A`, `call.args` has it and the compiler holds every decorated method to it
 * @throws OptionsError where the class is defined, when this is no method of an instance. A call rejects with `UnboundMethodError`
 * on an instance that Nest did not build, and with `MethodResultError` when the method returns anything else.
 * @example
 * const Timed = () => bindMethod<Timer>({
 *   decorator: '@Timed', runtime: timerToken, module: 'TimerModule',
 *   around: (timer, call, proceed) => timer.measure(call.methodName, proceed),
 * });
 */
export function bindMethod<R, A extends unknown[] = unknown[]>(binding: MethodBinding<R, A>): KeyedMethodDecorator<A> {
  return (target: object, propertyKey: PropertyKey, descriptor: PropertyDescriptor) => {
    const original = instanceMethod(binding.decorator, target, propertyKey, descriptor);
    binding.check?.(target, propertyKey, descriptor);
    injectRuntime(target, binding.runtime);
    const methodName = textOf(propertyKey);
    const declaringClass = target.constructor.name;
    const run = returnsObservable(target, propertyKey) ? callForObservable : callForPromise;

    const bound = new Proxy(original, {
      apply(method, self: unknown, args: unknown[]): unknown {
        // A method that was taken off its instance has none: such a call fails as unbound.
        const instance = typeof self === 'object' && self !== null ? self : {};
        const className = instance === self ? self.constructor.name : declaringClass;
        return run(binding, { className, declaringClass, methodName, args, instance }, method);
      },
    });
    copyMetadata(original, bound);
    descriptor.value = bound;
  };
}

function instanceMethod(decorator: string, target: unknown, propertyKey: unknown, descriptor: unknown): Method {
  const refuse = (problem: string) => new OptionsError(`${decorator} on ${textOf(propertyKey)}`, problem);
  if (typeof propertyKey === 'object') {
    throw new OptionsError(
      decorator,
      'is a legacy decorator, as those of Nest: set "experimentalDecorators" in tsconfig.json.',
    );
  }
  if (typeof target === 'function') {
    throw refuse(
      `${target.name}.${textOf(propertyKey)} is static, so it belongs to no instance that Nest builds. Make it a method.`,
    );
  }
  const value: unknown =
    typeof descriptor === 'object' && descriptor && 'value' in descriptor ? descriptor.value : undefined;
  if (!isMethod(value)) throw refuse('this is no method, but a property or an accessor. Put it on a method.');
  return value;
}

function isMethod(value: unknown): value is Method {
  return typeof value === 'function';
}

/** Known only where the return type is written out and imported as a value: TypeScript then emits it as metadata. */
function returnsObservable(target: object, propertyKey: PropertyKey): boolean {
  const key = typeof propertyKey === 'number' ? `${propertyKey}` : propertyKey;
  const type: unknown = Reflect.getOwnMetadata('design:returntype', target, key);
  return typeof type === 'function' && isObservable(type.prototype);
}

/** Decorators below ours left theirs on the original method, and Nest looks for it on the one it finds: ours. */
function copyMetadata(from: object, to: object): void {
  for (const key of Reflect.getOwnMetadataKeys(from)) {
    Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, from), to);
  }
}

function textOf(propertyKey: unknown): string {
  return typeof propertyKey === 'symbol' ? (propertyKey.description ?? 'a symbol') : String(propertyKey);
}
