import { AsyncLocalStorage } from 'node:async_hooks';
import { checkBoolean, checkFunction, checkKnownKeys } from '@redstart/redis-core';

/** A change of the cache. */
export type AfterCommit = () => Promise<unknown>;

/**
 * What waits for the end of one transaction.
 *
 * - *open*: the transaction runs, and changes wait.
 * - *committed*: they are made, one after the other in the order in which they came, before {@link commitScope} resolves. Or the scope around has taken them over.
 * - *rolled back*: they are forgotten.
 *
 * A change that comes later, from work that the transaction did not wait for, is made at once: too many harm nobody. Where that was a savepoint, the scope around takes it.
 */
class CommitScope {
  #isNoted = false;
  #open = true;
  readonly #waiting: AfterCommit[] = [];

  /** @param around the transaction that it is a savepoint of */
  constructor(private readonly around: CommitScope | undefined) {}

  /** Whether anything that the cache holds may differ from what the transaction sees. */
  get hasChanges(): boolean {
    return this.#isNoted || this.around?.hasChanges === true;
  }

  /** Whether the transaction may still be under way: its own, or the one that it is a savepoint of. */
  get isOpen(): boolean {
    return this.#open || this.around?.isOpen === true;
  }

  async add(change: AfterCommit): Promise<void> {
    this.note();
    if (this.#open) this.#waiting.push(change);
    else await (this.around === undefined ? change() : this.around.add(change));
  }

  note(): void {
    if (this.#open) this.#isNoted = true;
    else this.around?.note();
  }

  rollBack(): void {
    this.#end();
  }

  /** @throws what the first change has thrown that did, when all have been made */
  async commit(): Promise<void> {
    const failures: unknown[] = [];
    for (const change of this.#end()) {
      try {
        await this.add(change);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  #end(): AfterCommit[] {
    this.#open = false;
    this.#isNoted = false;
    return this.#waiting.splice(0);
  }
}

/** Belongs to no application: a scope is known only to what runs in it. */
const current = new AsyncLocalStorage<CommitScope>();

/**
 * Tells the cache where a transaction begins and ends. What `@CacheEvict` and `@CachePut` do `after: 'commit'` inside waits for the end of `transaction`: it is done when that has
 * resolved, which has to mean committed, and never when it rejects.
 *
 * A scope inside another one is a savepoint of it: what waits in it goes on to wait for the outer one, or is forgotten if it rejects. With `independent: true` it is a
 * transaction of its own. `@Cacheable` methods called in the scope store nothing, and what they load is nobody else's: it may be older than what others have committed and
 * evicted since the transaction began. What is cached they serve until something waits; from then on they run, or they would miss the transaction's own changes.
 *
 * Between the commit and the change readers may get the old value, for the way of one command to Redis. If the process ends in between, or Redis is down and
 * the process ends before it is back, until the value's ttl.
 *
 * @returns what `transaction` resolves with
 * @throws whatever `transaction` throws · OptionsError
 * @example
 * transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
 *   return commitScope(() => this.database.transaction().execute(work));
 * }
 */
export async function commitScope<T>(
  transaction: () => Promise<T>,
  options: { independent?: boolean } = {},
): Promise<T> {
  checkFunction(transaction, 'commitScope(transaction)');
  checkKnownKeys(options, ['independent'], 'commitScope');
  const independent = checkBoolean(options.independent ?? false, 'commitScope.independent');
  const scope = new CommitScope(independent ? undefined : current.getStore());
  let result: T;
  try {
    result = await current.run(scope, transaction);
  } catch (error) {
    scope.rollBack();
    throw error;
  }
  await scope.commit();
  return result;
}

/**
 * Does something when the transaction around has been committed, or at once where there is none: for what decorators can't say.
 *
 * @param change is not waited for by the caller inside a {@link commitScope}; what it throws there is the scope's to report, although the transaction has been committed
 * @example  await afterCommit(() => this.cache.delete(['flight', id]));
 */
export async function afterCommit(change: AfterCommit): Promise<void> {
  checkFunction(change, 'afterCommit(change)');
  const scope = current.getStore();
  if (scope === undefined) await change();
  else await scope.add(change);
}

/** Whether this runs in a {@link commitScope}. */
export function isInCommitScope(): boolean {
  return current.getStore() !== undefined;
}

/** Whether what is read here is read in a transaction that is under way: it may be older than what others have committed since, and evicted. */
export function isInTransaction(): boolean {
  return current.getStore()?.isOpen ?? false;
}

/** A method that will change what the cache holds begins in the transaction around. */
export function noteChange(): void {
  current.getStore()?.note();
}

/** Whether the transaction around has changed something that the cache does not know of yet. */
export function hasUncommittedChanges(): boolean {
  return current.getStore()?.hasChanges ?? false;
}
