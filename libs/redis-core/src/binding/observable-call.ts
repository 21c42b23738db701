import { from, isObservable, Observable, type Subscriber, takeWhile } from 'rxjs';
import { quote } from '../options/quote.js';
import { MethodCancelledError, MethodResultError } from './binding.errors.js';
import type { Method, MethodBinding, MethodCall } from './method-binding.js';
import { fullName, runAround } from './promise-call.js';

/** Runs a call of a method that is declared to return an Observable: once for each subscriber, when it subscribes. */
export function callForObservable(
  binding: MethodBinding<unknown>,
  call: MethodCall,
  method: Method,
): Observable<unknown> {
  return new Observable((subscriber) => {
    let proceeded = false;
    const proceed = async () => {
      proceeded = true;
      if (subscriber.closed) throw new MethodCancelledError(fullName(call));
      return await stream(sourceOf(binding, call, method), subscriber, call);
    };
    runAround(binding, call, proceed).then(
      (result) => {
        if (!proceeded && result !== undefined) subscriber.next(result);
        subscriber.complete();
      },
      (error: unknown) => {
        subscriber.error(error);
      },
    );
  });
}

function sourceOf(binding: MethodBinding<unknown>, call: MethodCall, method: Method): Observable<unknown> {
  const source: unknown = Reflect.apply(method, call.instance, call.args);
  if (isObservable(source)) return from(source);
  throw new MethodResultError(
    fullName(call),
    `is declared to return an Observable, as ${binding.decorator} saw, but returned ${quote(source)}.`,
  );
}

/**
 * Passes the values of a source on to the subscriber as they come.
 *
 * @returns the last value, once the source has completed; rejects when it fails, or when the subscriber leaves before
 */
function stream(source: Observable<unknown>, subscriber: Subscriber<unknown>, call: MethodCall): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let last: unknown;
    let ended = false;
    // A source that emits synchronously can't be unsubscribed from before it ends; takeWhile stops that one.
    const subscription = source.pipe(takeWhile(() => !subscriber.closed)).subscribe({
      next: (value) => {
        last = value;
        subscriber.next(value);
      },
      error: (error: Error) => {
        ended = true;
        reject(error);
      },
      complete: () => {
        if (subscriber.closed) return;
        ended = true;
        resolve(last);
      },
    });
    subscriber.add(() => {
      subscription.unsubscribe();
      if (!ended) reject(new MethodCancelledError(fullName(call)));
    });
  });
}
