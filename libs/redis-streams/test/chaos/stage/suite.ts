import type { RedisStreamsOptions } from '../../../src/index.js';
import { Crew, places } from './crew.js';
import type { RunReport } from './report.js';
import type { Site } from './sites.js';
import { StreamView } from './stream-view.js';
import { minIdleMs } from './timing.js';
import { testTimeoutMs, underFault, type NamedFault } from './under-fault.js';

const streams: RedisStreamsOptions = {
  service: 'shop',
  minIdle: minIdleMs,
  claimInterval: 100,
  // The lease of a partition is four times as long.
  block: minIdleMs / 4,
  publishTimeout: 1_000,
  deduplicationWindow: '1m',
  drainTimeout: '2s',
  // A process that dies uses an attempt up.
  retry: { attempts: 50, backoff: 50 },
  maxDeliveries: 50,
};

/** What the faults of a suite have in common; there from its beginning to its end. */
export interface Suite<S extends Site = Site> {
  readonly site: S;
  readonly crew: Crew;
  /** One named test; see {@link NamedFault}. */
  fault(name: string, inject: NamedFault['inject'], pace?: number): void;
}

/** What the topologies share: who consumes and publishes, and what it came to. */
export interface Stage {
  readonly crew: Crew;
  readonly report: RunReport;
}

/** How many faults there are, of all topologies. */
export let registered = 0;

/** The faults of one topology: one Redis for all of them, at the end of which no process has had anything to complain about. */
export function describeChaos<S extends Site>(
  topology: string,
  stageOf: () => Stage,
  build: (places: number) => Promise<S>,
  faults: (suite: Suite<S>) => void,
): void {
  describe(`chaos [${topology}]`, () => {
    let parts: { readonly site: S; readonly view: StreamView } | undefined;
    const there = () => {
      if (parts === undefined) throw new Error('A suite has its parts while its tests run.');
      return parts;
    };

    beforeAll(async () => {
      const { crew } = stageOf();
      const site = await build(places);
      parts = { site, view: new StreamView(site.client) };
      await crew.connect((place) => ({
        redis: site.connectionAt(place),
        // The last two only publish.
        streams: { ...streams, consumers: place < crew.consumers.length },
      }));
    }, testTimeoutMs);
    afterAll(async () => {
      const { crew } = stageOf();
      try {
        await crew.disconnect();
      } finally {
        await parts?.site[Symbol.asyncDispose]();
      }
      expect(crew.complaints).toEqual([]);
    }, testTimeoutMs);

    faults({
      get site() {
        return there().site;
      },
      get crew() {
        return stageOf().crew;
      },
      fault(name, inject, pace = 1) {
        registered += 1;
        const run = async () => {
          const { crew, report } = stageOf();
          const parts = { crew, view: there().view };
          await underFault(parts, report, { fault: name, topology, among: registered, pace, inject });
        };
        it(name, run, testTimeoutMs);
      },
    });
  });
}
