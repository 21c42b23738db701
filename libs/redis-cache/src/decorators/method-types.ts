import type { KeyDoesNotFit } from '@redstart/redis-core';
import type { Observable } from 'rxjs';

/**
 * Fits a method of `S` that returns a promise or an Observable of `R`, and whose parameters start with ones that fit each of the lists `F`: those
 * that the functions among the decorator's options take.
 */
export type CacheMethodDecorator<F extends unknown[][], R, S extends object> = <
  M extends (...args: never[]) => Promise<R> | Observable<R>,
>(
  target: S,
  propertyKey: PropertyKey,
  descriptor: TypedPropertyDescriptor<M> & FitsAll<Parameters<M>, F> & HoldsItsResult<M>,
) => void;

type FitsAll<P, F extends unknown[][]> = F extends [infer First extends unknown[], ...infer Rest extends unknown[][]]
  ? P extends [...First, ...unknown[]]
    ? FitsAll<P, Rest>
    : KeyDoesNotFit<First>
  : unknown;

type HoldsItsResult<M extends (...args: never[]) => unknown> =
  Awaited<ReturnType<M>> extends AsyncIterable<unknown> ? StreamsAreNotCached : unknown;

/** Never fulfilled: its name and property are what the compiler prints. */
export interface StreamsAreNotCached {
  readonly 'a stream or an async iterable can be read once, so it is not cached': never;
}

/** What is behind a {@link CacheMethodDecorator}: its type has held the method to the options. */
export type AnyMethodDecorator = (target: object, propertyKey: PropertyKey, descriptor: PropertyDescriptor) => void;
