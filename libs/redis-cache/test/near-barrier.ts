import type { Cluster, Redis } from 'ioredis';
import type { CacheService } from '../src/index.js';
import { NearCache } from '../src/near/near-cache.js';
import { NearTier } from '../src/near/near-tier.js';
import { gate } from './gate.js';

/** `REDSTART_NEAR=on` runs the specs that don't choose with the near tier as well. */
export const withNearTier = process.env['REDSTART_NEAR'] === 'on';

type AnyTier = NearTier<never>;

/** So many keys fall on every master of a Cluster, but for a chance of one in a hundred thousand millions. */
const barrierKeys = 64;

/**
 * What all near tiers have to have heard: keys that are written behind everything that they are to hear of, since each server tells of its changes in their order.
 *
 * - *open*: some tier has neither heard of all of them nor forgotten all that it held.
 * - *passed*: none is left.
 */
class Barrier {
  static readonly open = new Set<Barrier>();
  static #count = 0;
  readonly names: readonly string[];
  readonly #passed = gate();
  readonly #missing: Map<AnyTier, Set<string>>;

  constructor(keys: number, tiers: readonly AnyTier[]) {
    const number = (Barrier.#count += 1);
    this.names = Array.from({ length: keys }, (_, index) => `shop:cache:{near:${number}.${index}}:barrier`);
    this.#missing = new Map(tiers.map((tier) => [tier, new Set(this.names)]));
  }

  async pass(write: () => Promise<unknown>): Promise<void> {
    Barrier.open.add(this);
    this.#look();
    try {
      await write();
      await this.#passed.opened;
    } finally {
      Barrier.open.delete(this);
    }
  }

  heard(tier: AnyTier, key: string): void {
    const missing = this.#missing.get(tier);
    if (missing?.delete(key) && missing.size === 0) this.forgotten(tier);
  }

  forgotten(tier: AnyTier): void {
    this.#missing.delete(tier);
    this.#look();
  }

  #look(): void {
    if (this.#missing.size === 0) this.#passed.open();
  }
}

/** The near tiers of this file that have been used; those of applications that have ended trust nothing any more. */
const used = new Set<NearCache>();

if (withNearTier) {
  const { fetch, changed: announce } = NearCache.prototype;
  NearCache.prototype.fetch = function (this: NearCache, keys) {
    used.add(this);
    return fetch.call(this, keys);
  };
  NearCache.prototype.changed = function (this: NearCache, keys) {
    used.add(this);
    return announce.call(this, keys);
  };
  const { changed, forget } = NearTier.prototype;
  NearTier.prototype.changed = function (this: AnyTier, key) {
    changed.call(this, key);
    for (const barrier of Barrier.open) barrier.heard(this, key);
  };
  NearTier.prototype.forget = function (this: AnyTier) {
    forget.call(this);
    for (const barrier of Barrier.open) barrier.forgotten(this);
  };
}

/**
 * Resolves when all near tiers have heard of what has been done to Redis so far, or have forgotten everything. Nothing to wait for without near tiers, or without Redis.
 */
export async function nearTiersHaveHeard(client: Redis | Cluster): Promise<void> {
  if (!withNearTier) return;
  const trusting = [...used].filter(({ coherence }) => coherence.trustedUntil !== -Infinity);
  const barrier = new Barrier(
    client.isCluster ? barrierKeys : 1,
    trusting.map(({ tier }) => tier as AnyTier),
  );
  await barrier.pass(() => Promise.all(barrier.names.map((name) => client.set(name, '', 'PX', 1))));
}

const changes = [
  'set',
  'setMany',
  'writeThrough',
  'delete',
  'deleteByPrefix',
  'touch',
  'invalidateTags',
  'markStale',
  'markTagsStale',
  'clear',
];

/**
 * A cache whose changes resolve when the near tiers of other processes have heard of them: until then they may serve what was there before, and what is said of other processes
 * without a near tier would be said too early.
 */
export function heardElsewhere(cache: CacheService, client: Redis | Cluster): CacheService {
  if (!withNearTier) return cache;
  return new Proxy(cache, {
    get(target, name) {
      const found: unknown = Reflect.get(target, name, target);
      if (typeof found !== 'function') return found;
      if (name === 'namespace') {
        return (...part: Parameters<CacheService['namespace']>) => heardElsewhere(target.namespace(...part), client);
      }
      return (...args: unknown[]): unknown => {
        const result: unknown = Reflect.apply(found, target, args);
        if (!changes.includes(String(name)) || !(result instanceof Promise)) return result;
        return result.then(async (value: unknown) => {
          await nearTiersHaveHeard(client);
          return value;
        });
      };
    },
  });
}
