import { isObservable } from 'rxjs';
import { quote } from '../options/quote.js';
import { MethodResultError, UnboundMethodError } from './binding.errors.js';
import type { Method, MethodBinding, MethodCall, Proceed } from './method-binding.js';
import { runtimeOf } from './runtime-property.js';

/** Runs a call of a method that returns a promise. */
export function callForPromise(binding: MethodBinding<unknown>, call: MethodCall, method: Method): Promise<unknown> {
  return runAround(binding, call, async () => {
    const result: unknown = Reflect.apply(method, call.instance, call.args);
    if (!isPromise(result)) throw notAPromise(binding, call, result);
    return await result;
  });
}

/** Hands a call to the service of its instance. Only ever rejects: whatever is thrown on the way, the caller gets a promise. */
export async function runAround(binding: MethodBinding<unknown>, call: MethodCall, proceed: Proceed): Promise<unknown> {
  const runtime = runtimeOf(call.instance, binding.runtime);
  if (runtime === undefined) throw new UnboundMethodError(fullName(call), binding.decorator, binding.module);
  return await binding.around(runtime, call, proceed);
}

/** A method as messages name it: `FlightService.search`. */
export function fullName({ className, methodName }: MethodCall): string {
  return `${className}.${methodName}`;
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function notAPromise({ decorator }: MethodBinding<unknown>, call: MethodCall, result: unknown): MethodResultError {
  return new MethodResultError(
    fullName(call),
    isObservable(result)
      ? `returns an Observable that ${decorator} could not foresee. Write the return type out, Observable<...>, and import Observable as a value (no import type).`
      : `is decorated with ${decorator} and must return a promise, but returned ${quote(result)}. Declare it async.`,
  );
}
