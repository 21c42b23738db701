import type { Observable } from 'rxjs';
import type { Key } from '../keys/key-space.js';

/**
 * The function that builds a key from the first arguments of the decorated method.
 *
 * Write out the types of its parameters. TypeScript evaluates a decorator before it looks at the method, so it can't infer them: without
 * a type they are `unknown`. What you wrote is then checked against the method.
 */
export type KeyOf<A extends unknown[], K = Key> = (...args: A) => K;

/**
 * A method decorator whose options hold a function of the method's first arguments, `A`.
 *
 * It fits a method that returns a promise or an `Observable` and whose parameters start with ones that fit `A`; everything else is a compile error.
 * @example
 * function Timed<A extends unknown[]>(options: { key: KeyOf<A> }): KeyedMethodDecorator<A>;
 *
 * class Flights {
 *   @Timed({ key: (id: string) => ['flight', id] })
 *   async find(id: string, options: FindOptions): Promise<Flight> { ... }
 * }
 */
export type KeyedMethodDecorator<A extends unknown[]> = <M extends KeyableMethod>(
  target: object,
  propertyKey: PropertyKey,
  descriptor: TypedPropertyDescriptor<M> & (Parameters<M> extends [...A, ...unknown[]] ? unknown : KeyDoesNotFit<A>),
) => void;

/** What may be decorated. `never[]` stands for any parameters: a function that takes some is one that takes `never`. */
type KeyableMethod = (...args: never[]) => Promise<unknown> | Observable<unknown>;

/** Never fulfilled: its name and parameters are what the compiler prints. */
export interface KeyDoesNotFit<A extends unknown[]> {
  readonly 'the method does not start with the parameters of the key function': A;
}
