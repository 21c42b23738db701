import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import fc from 'fast-check';
import type { CacheApp } from '../app.js';
import { patience, readBy, startNear } from './near-app.js';

jest.setTimeout(120_000);

const names = ['a', 'b'] as const;
type Name = (typeof names)[number];
type Step =
  | {
      readonly do: 'set' | 'delete' | 'invalidate' | 'clear' | 'read' | 'readOften';
      readonly by: 0 | 1;
      readonly name: Name;
    }
  | { readonly do: 'cut' | 'empty' | 'breathe' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 24,
    arbitrary: fc.record({
      do: fc.constantFrom('read' as const, 'read' as const, 'readOften' as const, 'set' as const),
      by: fc.constantFrom(0 as const, 1 as const),
      name: fc.constantFrom(...names),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('delete' as const, 'invalidate' as const, 'clear' as const),
      by: fc.constantFrom(0 as const, 1 as const),
      name: fc.constantFrom(...names),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('cut' as const, 'empty' as const, 'breathe' as const) }) },
);

/** What one process may still be served of one name: never less than what it has seen, changed or been told of. */
class Floors {
  readonly #floors = new Map<string, number>();

  raise(by: 0 | 1, name: Name, to: number): void {
    const at = `${by} ${name}`;
    this.#floors.set(at, Math.max(to, this.of(by, name)));
  }

  of(by: 0 | 1, name: Name): number {
    return this.#floors.get(`${by} ${name}`) ?? 0;
  }
}

describeOn(standalone, cluster)('any sequence of reads and changes of two processes with near tiers', (redis) => {
  let apps: [CacheApp, CacheApp];
  beforeAll(async () => {
    jest.spyOn(Logger.prototype, 'log').mockImplementation(() => undefined);
    jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    apps = [await startNear(redis.connection), await startNear(redis.connection)];
  });
  afterAll(async () => {
    for (const app of apps) await app[Symbol.asyncDispose]();
    jest.restoreAllMocks();
  });

  const hits = () => apps[0].cache.stats().nearHits + apps[1].cache.stats().nearHits;

  /** Resolves when both near tiers answer, however long a connection takes to come back. */
  async function coherent(): Promise<void> {
    const each = apps.map((app) =>
      eventually(async () => (await readBy(app, () => app.cache.getOrSet('other', () => 1))).near, {
        ...patience,
        every: 5,
      }),
    );
    await Promise.all(each);
  }

  it('never shows a process less than it has seen or done, whatever breaks meanwhile', async () => {
    let run = 0;
    let version = 0;
    let nearHits = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
        const floors = new Floors();
        run += 1;
        const keyOf = (name: Name) => [`run-${run}`, name];
        const read = async (by: 0 | 1, name: Name) => {
          const value = await apps[by].cache.get<number>(keyOf(name));
          if (value === undefined) return;
          if (value < floors.of(by, name))
            throw new Error(`${by} was shown ${value} of ${name} after ${floors.of(by, name)}`);
          floors.raise(by, name, value);
        };
        await coherent();
        let before = hits();
        for (const next of steps) {
          switch (next.do) {
            case 'set':
              version += 1;
              await apps[next.by].cache.set(keyOf(next.name), version, { tags: ['of', [run, next.name]] });
              floors.raise(next.by, next.name, version);
              break;
            case 'delete':
              await apps[next.by].cache.delete(keyOf(next.name));
              floors.raise(next.by, next.name, version + 1);
              break;
            case 'invalidate':
              await apps[next.by].cache.invalidateTags([run, next.name]);
              floors.raise(next.by, next.name, version + 1);
              break;
            case 'clear':
              await apps[next.by].cache.clear();
              for (const name of names) floors.raise(next.by, name, version + 1);
              break;
            case 'readOften':
              for (let i = 0; i < 5; i += 1) await read(next.by, next.name);
              break;
            case 'read':
              await read(next.by, next.name);
              break;
            case 'cut': {
              const servers = redis.topology === 'cluster' ? await redis.cluster.masters() : [redis.server];
              for (const server of servers) await server.ask((client) => client.client('KILL', 'TYPE', 'PUBSUB'));
              break;
            }
            case 'empty':
              await redis.flush();
              break;
            case 'breathe': {
              const ended = hits();
              await coherent();
              before += hits() - ended;
            }
          }
        }
        nearHits += hits() - before;
      }),
      { numRuns: 60 },
    );
    expect(nearHits).toBeGreaterThan(50); // or nothing was tested
  });
});
