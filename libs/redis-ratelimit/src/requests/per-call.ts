/**
 * Something that belongs to a call, for as long as the call lasts: it is kept at an object that only this call has.
 *
 * It stands there under a symbol of this instance, which nobody else knows. A WeakMap would do the same, and does where the object takes no properties, but with one entry for every
 * request the garbage collector has to follow it so often that it cost more than the limit itself.
 */
export class PerCall<T> {
  readonly #place = Symbol('rate limit');
  readonly #sealed = new WeakMap<object, T>();

  get(call: object): T | undefined {
    return this.#has(call) ? call[this.#place] : this.#sealed.get(call);
  }

  /** @returns the value */
  set(call: object, value: T): T {
    if (this.#takes(call)) call[this.#place] = value;
    else this.#sealed.set(call, value);
    return value;
  }

  #has(call: object): call is Record<symbol, T> {
    return this.#place in call;
  }

  #takes(call: object): call is Record<symbol, T> {
    return Object.isExtensible(call);
  }
}
