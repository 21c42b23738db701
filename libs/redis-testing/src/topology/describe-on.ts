import { type RunningTopology, type Topology } from './topology.js';
import { TopologyMisusedError, TopologyUnderTest } from './topology-under-test.js';

const START_WITHIN_MS = 60_000;
const KNOWN = ['standalone', 'cluster', 'sentinel'];

interface Suite {
  (name: string, body: () => void): void;
  skip: (name: string, body: () => void) => void;
}
type Hook = (work: () => Promise<void>, timeoutMs?: number) => void;
interface JestGlobals {
  describe: Suite;
  beforeAll: Hook;
  beforeEach: Hook;
  afterAll: Hook;
}

/** What the suites of this spec file have started; Jest loads this module anew for each spec file. */
const started = new Map<Topology, Promise<RunningTopology>>();

/**
 * Declares one suite of tests for each topology: `name [standalone]`, `name [cluster]` and so on. Redis is started
 * before the first test, emptied before each one, and stopped when the last suite of the file has ended; all suites of
 * one spec file share it, since a cluster takes 2 s to form.
 *
 * The environment variable `REDSTART_TOPOLOGY` (a comma list, such as `standalone` or `standalone,cluster`) skips the
 * other topologies; their tests are reported as skipped.
 *
 * @throws TopologyMisusedError outside a Jest spec file, or when `REDSTART_TOPOLOGY` names an unknown topology
 * @example
 * describeOn(standalone, cluster)('release', (redis) => {
 *   it('frees the key', async () => {
 *     const client = redis.client();
 *     ...
 *   });
 * });
 */
export function describeOn(...topologies: readonly [Topology, ...Topology[]]) {
  return (name: string, body: (redis: TopologyUnderTest) => void): void => {
    const jest = jestGlobals();
    const wanted = wantedTopologies();
    for (const topology of topologies) {
      const describe = wanted === undefined || wanted.includes(topology.name) ? jest.describe : jest.describe.skip;
      describe(`${name} [${topology.name}]`, () => {
        const redis = new TopologyUnderTest(topology);
        jest.beforeAll(async () => {
          redis.enter(await running(topology));
        }, START_WITHIN_MS);
        jest.beforeEach(() => redis.flush());
        body(redis);
        // After the body's own hooks: Jest runs afterAll in the order of declaration, and they may still need Redis.
        jest.afterAll(() => {
          redis.leave();
          return Promise.resolve();
        });
      });
    }
    // At the level of the call, which is the file as a rule: it runs after every suite there. Whatever needs Redis
    // after that starts it again.
    jest.afterAll(stopAll, START_WITHIN_MS);
  };
}

function running(topology: Topology): Promise<RunningTopology> {
  const start = started.get(topology) ?? topology.start();
  started.set(topology, start);
  // A start that failed is tried again by the next suite, which then reports its own reason.
  start.catch(() => started.delete(topology));
  return start;
}

async function stopAll(): Promise<void> {
  const all = [...started.values()];
  started.clear();
  for (const start of all) await (await start).stop();
}

function wantedTopologies(): string[] | undefined {
  const list = (process.env['REDSTART_TOPOLOGY'] ?? '').split(',').map((name) => name.trim());
  const names = list.filter((name) => name !== '');
  const unknown = names.filter((name) => !KNOWN.includes(name));
  if (unknown.length > 0) {
    throw new TopologyMisusedError(
      `REDSTART_TOPOLOGY names ${unknown.join(', ')}, which is unknown. Use a comma list of ${KNOWN.join(', ')}.`,
    );
  }
  return names.length === 0 ? undefined : names;
}

function jestGlobals(): JestGlobals {
  const globals: Partial<JestGlobals> = globalThis as Partial<JestGlobals>;
  const { describe, beforeAll, beforeEach, afterAll } = globals;
  if (describe && beforeAll && beforeEach && afterAll) return { describe, beforeAll, beforeEach, afterAll };
  throw new TopologyMisusedError(
    'describeOn found no global describe, beforeAll, beforeEach and afterAll. Call it in a spec file that Jest runs, ' +
      'with injectGlobals on (the default).',
  );
}
