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
    let ended = false;
    const left = new AbortController();
    subscriber.add(() => {
      if (!ended) left.abort(new MethodCancelledError(fullName(call)));
    });
    const proceed = async (until?: AbortSignal) => {
      proceeded = true;
      const stops = until === undefined ? [left.signal] : [left.signal, until];
      for (const stop of stops) stop.throwIfAborted();
      return await stream(sourceOf(binding, call, method), subscriber, stops);
    };
    runAround(binding, { ...call, signal: left.signal }, proceed).then(
      (result) => {
        ended = true;
        if (!proceeded && result !== undefined) subscriber.next(result);
        subscriber.complete();
      },
      (error: unknown) => {
        ended = true;
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
 * @param stops each of them cancels the source; one of them is that the subscriber leaves
 * @returns the last value, once the source has completed; rejects when it fails, and with the reason of whatever stopped it before
 */
function stream(
  source: Observable<unknown>,
  subscriber: Subscriber<unknown>,
  stops: readonly AbortSignal[],
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let last: unknown;
    const isStopped = () => stops.some(({ aborted }) => aborted);
    // A source that emits synchronously can't be unsubscribed from before it ends; takeWhile stops that one.
    const subscription = source.pipe(takeWhile(() => !isStopped())).subscribe({
      next: (value) => {
        last = value;
        subscriber.next(value);
      },
      error: (error: Error) => {
        reject(error);
      },
      complete: () => {
        if (!isStopped()) resolve(last);
      },
    });
    const stop = () => {
      subscription.unsubscribe();
      reject(reasonOf(stops));
    };
    if (isStopped()) {
      stop();
      return;
    }
    for (const signal of stops) signal.addEventListener('abort', stop, { once: true });
    // A signal may live for longer than the source.
    subscription.add(() => {
      for (const signal of stops) signal.removeEventListener('abort', stop);
    });
  });
}

function reasonOf(stops: readonly AbortSignal[]): Error {
  const reason: unknown = stops.find(({ aborted }) => aborted)?.reason;
  return reason instanceof Error ? reason : new Error('The method was stopped.', { cause: reason });
}
