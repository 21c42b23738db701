/** One call of a decorated method. */
export interface MethodCall<A extends readonly unknown[] = readonly unknown[]> {
  /** The class of the instance: a method that two classes inherit has two. */
  readonly className: string;
  /** The class that holds the method: another one for an inherited method, and for one that an override calls through `super`. */
  readonly declaringClass: string;
  readonly methodName: string;
  readonly args: A;
  readonly instance: object;
  /** Aborts when the subscriber of an Observable leaves before its end: what the service still waits for is in vain. A promise can't be left. */
  readonly signal?: AbortSignal;
}

/**
 * Runs the method itself, whenever it is called. For an Observable it settles when the source completes, with its last value.
 *
 * @param until stops an Observable: its source is cancelled, and this rejects with the signal's reason. A method that returns a promise can only
 *   stop itself, so it goes on.
 */
export type Proceed = (until?: AbortSignal) => Promise<unknown>;

/** What a decorator does to its method. `R` is the service behind it, `A` what it knows of the arguments. */
export interface MethodBinding<R, A extends readonly unknown[] = readonly unknown[]> {
  /** How the user writes it, for messages: `@WithLock`. */
  readonly decorator: string;
  /**
   * The injection token of the service behind it, one per library and name. Nest's boot error shows its description when the module is
   * missing, so that names the way out: `Symbol.for('LockService: import RedisLockModule.forRoot(...)')`.
   */
  readonly runtime: symbol;
  /** The module that provides `runtime`, for messages: `RedisLockModule.forRoot(...)`. */
  readonly module: string;
  /**
   * Runs a call.
   *
   * @returns what the caller gets
   */
  around(runtime: R, call: MethodCall<A>, proceed: Proceed): Promise<unknown>;
  /** Refuses, by throwing, what is wrong already where the class is defined. */
  check?(target: object, propertyKey: PropertyKey, descriptor: PropertyDescriptor): void;
}

/** A method as the language sees it. */
export type Method = (...args: unknown[]) => unknown;
