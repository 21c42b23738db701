import { MethodResultError, OptionsError, type MethodCall } from '@redstart/redis-core';
import { isObservable } from 'rxjs';

/** What can be read once: a stream of Node or of the web, a StreamableFile, an async iterable, an Observable. */
export function isStream(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (isObservable(value) || Symbol.asyncIterator in value) return true;
  return ['pipe', 'getReader', 'getStream'].some((name) => typeof Reflect.get(value, name) === 'function');
}

/**
 * Refuses a method whose result could be read only once: its first caller would use it up.
 *
 * @throws MethodResultError, after it has let go of what the stream reads from
 */
export function refuseStream(value: unknown, { className, methodName }: MethodCall, decorator: string): void {
  if (!isStream(value)) return;
  destroy(value);
  throw new MethodResultError(
    `${className}.${methodName}`,
    `is decorated with ${decorator}, but returned a stream or an async iterable, which can be read only once. Return what it holds, or leave ${decorator} out.`,
  );
}

/** Refuses a generator where the class is defined. @throws OptionsError */
export function refuseGenerator(target: object, propertyKey: PropertyKey, method: unknown, decorator: string): void {
  const kind = Object.prototype.toString.call(method);
  if (kind !== '[object AsyncGeneratorFunction]' && kind !== '[object GeneratorFunction]') return;
  throw new OptionsError(
    `${decorator} on ${target.constructor.name}.${String(propertyKey)}`,
    'this method is a generator: what it yields can be read only once. Return a promise of all that it holds.',
  );
}

/** A failure to let go of it is not what the caller has to hear of. */
function destroy(stream: unknown): void {
  if (typeof stream !== 'object' || stream === null) return;
  const call = (name: string): unknown => {
    const method: unknown = Reflect.get(stream, name);
    return typeof method === 'function' ? Reflect.apply(method, stream, []) : undefined;
  };
  const inner = call('getStream');
  if (inner !== undefined) {
    destroy(inner);
    return;
  }
  call('destroy');
  Promise.resolve(call('cancel')).catch(() => {
    // Somebody reads it already, or it is broken: either way it is let go of by others.
  });
}
