import { encodeSubject, OptionsError, type Clock, type Key } from '@redstart/redis-core';
import { LRUCache } from 'lru-cache';
import type { RateLimitContext } from '../requests/context.js';
import type { Dynamic } from './dynamic.js';
import { compilePolicy, isStaticPolicy, type CompiledPolicy } from './policy.js';
import type { OnError } from './policy-options.js';

interface Answer {
  readonly policy: CompiledPolicy;
  freshUntilMs: number;
}

/** Different limits are few, plans of customers for instance; beyond this many they are compiled anew. */
const mostCompiled = 1_000;

/**
 * A {@link Dynamic} under its name: asks for the limits of a key, and keeps the answers.
 *
 * An answer is *fresh* for `cacheMs`, then *stale*: the next call asks again, and whoever comes meanwhile waits for the same answer. When asking fails, a stale answer holds, and is
 * fresh again; without one the call fails with what asking threw. A refresh makes answers stale, those too that are under way.
 */
export class DynamicPolicy {
  readonly #name: string;
  readonly #dynamic: Dynamic;
  readonly #onError: OnError;
  readonly #clock: Clock;
  readonly #answers: LRUCache<string, Answer>;
  readonly #asking = new Map<string, Promise<CompiledPolicy>>();
  /** Equal limits share a policy, so that their calls can be merged and their denials found again. */
  readonly #compiled = new Map<string, CompiledPolicy>();
  #refreshes = 0;

  constructor(name: string, dynamic: Dynamic, onError: OnError, clock: Clock) {
    this.#name = name;
    this.#dynamic = dynamic;
    this.#onError = onError;
    this.#clock = clock;
    this.#answers = new LRUCache({ max: dynamic.maxKeys });
  }

  /** @throws what `policyOf` throws; OptionsError when it returns no policy */
  for(key: Key, context: RateLimitContext | undefined): CompiledPolicy | Promise<CompiledPolicy> {
    const subject = encodeSubject(key);
    const known = this.#answers.get(subject);
    if (known !== undefined && this.#clock.now() < known.freshUntilMs) return known.policy;
    const pending = this.#asking.get(subject);
    if (pending !== undefined) return pending;
    const asking = this.#ask(subject, key, context, known).finally(() => {
      if (this.#asking.get(subject) === asking) this.#asking.delete(subject);
    });
    this.#asking.set(subject, asking);
    return asking;
  }

  /** Asks again at the next call. */
  refresh(key?: Key): void {
    this.#refreshes += 1;
    if (key === undefined) {
      this.#asking.clear();
      for (const answer of this.#answers.values()) answer.freshUntilMs = -Infinity;
      return;
    }
    const subject = encodeSubject(key);
    this.#asking.delete(subject);
    const answer = this.#answers.peek(subject);
    if (answer !== undefined) answer.freshUntilMs = -Infinity;
  }

  async #ask(
    subject: string,
    key: Key,
    context: RateLimitContext | undefined,
    known: Answer | undefined,
  ): Promise<CompiledPolicy> {
    const refreshes = this.#refreshes;
    try {
      return this.#keep(subject, this.#compile(await this.#dynamic.policyOf(key, context)), refreshes);
    } catch (error) {
      if (known === undefined) throw error;
      return this.#keep(subject, known.policy, refreshes);
    }
  }

  /** @param refreshes how many there had been when the answer was asked for: what has been refreshed since is for those only who have asked before */
  #keep(subject: string, policy: CompiledPolicy, refreshes: number): CompiledPolicy {
    if (refreshes === this.#refreshes) {
      this.#answers.set(subject, { policy, freshUntilMs: this.#clock.now() + this.#dynamic.cacheMs });
    } else if (!this.#answers.has(subject)) this.#answers.set(subject, { policy, freshUntilMs: -Infinity });
    return policy;
  }

  #compile(answer: unknown): CompiledPolicy {
    if (!isStaticPolicy(answer)) {
      throw new OptionsError(
        `policies.${this.#name}`,
        'its function returned no policy. Return slidingWindow({ … }) or another.',
      );
    }
    const signature = JSON.stringify(answer);
    const policy = this.#compiled.get(signature) ?? compilePolicy(this.#name, answer, this.#onError);
    if (this.#compiled.size >= mostCompiled) this.#compiled.clear();
    this.#compiled.set(signature, policy);
    return policy;
  }
}
