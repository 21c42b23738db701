/* Compiled, never run: each line marked with @ts-expect-error must be an error, and every other one must not. */
import type { Observable } from 'rxjs';
import { bindMethod } from '../../src/binding/bind-method.js';
import type { KeyedMethodDecorator, KeyOf } from '../../src/binding/key-of.js';
import type { Key } from '../../src/keys/key-space.js';

declare function Keyed<A extends unknown[]>(options: { key: KeyOf<A> }): KeyedMethodDecorator<A>;
/** As @WithLock takes it: a key that is the same for every call, or a function. */
declare function Locked<A extends unknown[]>(key: Key | KeyOf<A, Key | Key[]>): KeyedMethodDecorator<A>;

interface Flight {
  readonly id: string;
}
declare const flight: Flight;
declare const flights: Observable<Flight>;

export abstract class Accepted {
  @Keyed({ key: (id: string) => id })
  async exactly(id: string): Promise<Flight> {
    return Promise.resolve({ id });
  }

  @Keyed({ key: (id: string) => ['flight', id] })
  async prefix(id: string, day: number, options: { fresh: boolean }): Promise<Flight> {
    return Promise.resolve({ id: `${id}${day}${options.fresh}` });
  }

  @Keyed({ key: (from: string, day: number) => [from, day] })
  async two(from: string, day: number, limit?: number): Promise<Flight[]> {
    return Promise.resolve([{ id: `${from}${day}${limit ?? ''}` }]);
  }

  @Keyed({ key: () => 'all' })
  async none(): Promise<void> {
    return Promise.resolve();
  }

  @Keyed({ key: () => 'all' })
  async ignored(id: string): Promise<string> {
    return Promise.resolve(id);
  }

  @Keyed({ key: (id: string | number) => id })
  async wider(id: string, day: number): Promise<Flight> {
    return Promise.resolve({ id: `${id}${day}` });
  }

  @Keyed({ key: (flight: { id: string }) => flight.id })
  async structural(flight: Flight): Promise<Flight> {
    return Promise.resolve(flight);
  }

  @Keyed({ key: (id?: string) => id ?? 'all' })
  async optional(id?: string): Promise<Flight> {
    return Promise.resolve({ id: id ?? '' });
  }

  @Keyed({ key: (...ids: string[]) => ids })
  async rest(...ids: string[]): Promise<Flight[]> {
    return Promise.resolve(ids.map((id) => ({ id })));
  }

  @Keyed({ key: (id: string) => id })
  async generic<T>(id: string, load: (id: string) => T): Promise<T> {
    return Promise.resolve(load(id));
  }

  @Keyed({ key: (id: string) => id })
  notAsync(id: string): Promise<Flight> {
    return Promise.resolve({ id });
  }

  @Keyed({ key: (id: string) => id })
  observable(id: string): Observable<Flight> {
    return id ? flights : flights;
  }

  @Keyed({ key: (id: string) => id })
  observablePrefix(id: string, day: number): Observable<Flight> {
    return id && day ? flights : flights;
  }

  @Keyed({ key: (id) => String(id) })
  async untypedButSafe(id: string): Promise<Flight> {
    return Promise.resolve({ id });
  }

  @Locked('the one key')
  async fixedKey(id: string): Promise<string> {
    return Promise.resolve(id);
  }

  @Locked(['orders', 7])
  async fixedParts(): Promise<void> {
    return Promise.resolve();
  }

  @Locked((from: string, to: string) => [
    ['seat', from],
    ['seat', to],
  ])
  async severalKeys(from: string, to: string, day: number): Promise<number> {
    return Promise.resolve(from.length + to.length + day);
  }

  @Locked((id: string) => id)
  protected async inherited(id: string): Promise<Flight> {
    return Promise.resolve({ id });
  }
}

export class Refused {
  // @ts-expect-error the key function wants a string, the method has a number
  @Keyed({ key: (id: string) => id })
  async wrongType(id: number): Promise<Flight> {
    return Promise.resolve({ id: `${id}` });
  }

  // @ts-expect-error the second argument differs
  @Keyed({ key: (id: string, day: string) => [id, day] })
  async wrongSecond(id: string, day: number): Promise<Flight> {
    return Promise.resolve({ id: `${id}${day}` });
  }

  // @ts-expect-error the key function wants more arguments than the method has
  @Keyed({ key: (id: string, day: number) => [id, day] })
  async tooMany(id: string): Promise<Flight> {
    return Promise.resolve({ id });
  }

  // @ts-expect-error the method may be called without the argument that the key function needs
  @Keyed({ key: (id: string) => id })
  async mayBeMissing(id?: string): Promise<Flight> {
    return Promise.resolve({ id: id ?? '' });
  }

  // @ts-expect-error a synchronous method
  @Keyed({ key: (id: string) => id })
  synchronous(id: string): Flight {
    return { id };
  }

  // @ts-expect-error a synchronous method without a result
  @Keyed({ key: () => 'all' })
  nothing(): void {
    flight.id.trim();
  }

  // @ts-expect-error a key must be text, a number, a bigint or an array of those
  @Keyed({ key: (id: string) => ({ id }) })
  async noKey(id: string): Promise<Flight> {
    return Promise.resolve({ id });
  }

  // @ts-expect-error a key must not be undefined
  @Keyed({ key: (id?: string) => id })
  async undefinedKey(id?: string): Promise<Flight> {
    return Promise.resolve({ id: id ?? '' });
  }

  // @ts-expect-error nothing tells the type of the parameter: write it out
  @Keyed({ key: (id) => id })
  async untyped(id: string): Promise<Flight> {
    return Promise.resolve({ id });
  }

  // @ts-expect-error an Observable with the wrong argument
  @Keyed({ key: (id: string) => id })
  observable(id: number): Observable<Flight> {
    return id ? flights : flights;
  }

  // @ts-expect-error a property is no method
  @Keyed({ key: () => 'all' })
  property = 1;
}

/** A decorator as the libraries write it: `call.args` has the type that the method was checked against. */
export function Timed<A extends unknown[]>(options: { key: KeyOf<A> }): KeyedMethodDecorator<A> {
  return bindMethod<{ time(key: Key, run: () => Promise<unknown>): Promise<unknown> }, A>({
    decorator: '@Timed',
    runtime: Symbol.for('Timer: import TimerModule'),
    module: 'TimerModule',
    around: (timer, call, proceed) => timer.time(options.key(...call.args), proceed),
  });
}
