import { lockTerms } from '../terms.js';
import type { Terms } from '../worker/orders.js';
import type { Arena } from './arena.js';
import { Contest } from './contest.js';

/** `LOCK_CHAOS_SECONDS` makes each fault strike again and again for so long; without it, as often as its test says. */
const soakMs = Number(process.env['LOCK_CHAOS_SECONDS'] ?? 0) * 1_000;

/** How long one test may take. */
export const testTimeoutMs = 120_000 + soakMs;

export interface FaultPlan {
  /** How often it is injected at least. */
  readonly times: number;
  readonly terms?: Partial<Terms>;
  /** What one has to know to do it again; said at the beginning and when it does not hold. */
  readonly note?: string;
}

/**
 * One fault: lets it strike while the crew competes for a lock of its own, brings everything to order after each time, and tells whether the lock has held.
 *
 * @param inject injects it once, looks at what has to follow in any case, and returns how often it struck
 * @throws Error with all that was found, also when the fault never struck: then nothing is proved
 */
export async function underFault(
  arena: Arena,
  fault: string,
  { times, terms = {}, note }: FaultPlan,
  inject: (contest: Contest) => Promise<number>,
): Promise<void> {
  if (note !== undefined) process.stdout.write(`${fault}: ${note}\n`);
  const contest = await Contest.begin(arena, lockTerms(fault, terms));
  const soakUntil = performance.now() + soakMs;
  const findings: string[] = [];
  let injected = 0;
  let failure: unknown;
  try {
    for (let round = 0; round < times || performance.now() < soakUntil; round++) {
      injected += await inject(contest);
      await contest.settle();
    }
    await contest.end();
    if (injected === 0) findings.push('it was never injected');
  } catch (error) {
    failure = error;
    findings.push(error instanceof Error ? error.message : String(error));
  }
  findings.unshift(...(await contest.findings()));
  if (findings.length > 0) {
    const told = [...findings.slice(0, 20), ...(note === undefined ? [] : [note])].join('\n');
    throw new Error(`${fault}: injected ${injected}, NOT held:\n${told}`, { cause: failure });
  }
  process.stdout.write(`${fault}: injected ${injected}, held\n`);
}
