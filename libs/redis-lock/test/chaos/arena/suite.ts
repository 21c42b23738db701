import { Arena } from './arena.js';
import type { Contest } from './contest.js';
import { Crew } from './crew.js';
import type { Site } from './sites.js';
import { type FaultPlan, testTimeoutMs, underFault } from './under-fault.js';

/** What the faults of a suite have in common; there from its beginning to its end. */
export interface Suite<S extends Site> {
  readonly site: S;
  readonly crew: Crew;
  readonly arena: Arena;
  /** One named test; see {@link underFault}. */
  fault(name: string, plan: FaultPlan, inject: (contest: Contest) => Promise<number>): void;
}

type Parts<S extends Site> = Pick<Suite<S>, 'site' | 'crew' | 'arena'>;

/** Faults of one kind: one crew and one Redis for all of them, at the end of which no process has had anything to complain about. */
export function describeChaos<S extends Site>(
  kind: string,
  build: () => Promise<S>,
  faults: (suite: Suite<S>) => void,
): void {
  describe(`chaos: ${kind}`, () => {
    const opened: AsyncDisposable[] = [];
    let parts: Parts<S> | undefined;
    const part = <K extends keyof Parts<S>>(name: K): Parts<S>[K] => {
      if (parts === undefined) throw new Error('A suite has its parts while its tests run.');
      return parts[name];
    };
    const open = async <T extends AsyncDisposable>(opening: Promise<T>): Promise<T> => {
      const it = await opening;
      opened.unshift(it);
      return it;
    };

    beforeAll(async () => {
      const opening = [open(build()), open(Crew.assemble())] as const;
      await Promise.allSettled(opening); // Should one fail, the other one is known, and ended.
      const [site, crew] = await Promise.all(opening);
      parts = { site, crew, arena: await open(Arena.open({ crew, ...site.arena })) };
    }, testTimeoutMs);
    afterAll(async () => {
      // All of them, whatever becomes of one, so that no process is left behind.
      const failures: unknown[] = [];
      for (const each of opened) {
        try {
          await each[Symbol.asyncDispose]();
        } catch (error) {
          failures.push(error);
        }
      }
      expect(failures).toEqual([]);
      expect(parts?.crew.complaints ?? []).toEqual([]);
    }, testTimeoutMs);

    faults({
      get site() {
        return part('site');
      },
      get crew() {
        return part('crew');
      },
      get arena() {
        return part('arena');
      },
      fault(name, plan, inject) {
        it(name, () => underFault(part('arena'), name, plan, inject), testTimeoutMs);
      },
    });
  });
}
