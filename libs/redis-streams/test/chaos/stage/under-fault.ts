import type { RunReport } from './report.js';
import { Wave, type Recovery, type WaveParts } from './wave.js';
import type { WaveTotals } from './wave-totals.js';

/** `REDSTART_STREAMS_MESSAGES` is how many messages all faults together have under way at least; each of them strikes the more often for it. */
const wanted = Number(process.env['REDSTART_STREAMS_MESSAGES'] ?? 50_000);
/** Nobody asked for so many messages: what every run of the specs has. */
export const isShort = process.env['REDSTART_STREAMS_MESSAGES'] === undefined;
/** A longer run strikes again each time that so many messages have come through. */
const messagesPerStrike = 10_000;
/** Of each of the two producers: a short run leaves processor time to others. Faster than the consumers would only prove that a backlog takes its time. */
const perSecond = isShort ? 700 : 3_000;

/** How long one test may take. */
export const testTimeoutMs = 250_000 + wanted;

/** The command of a long run. */
export const longRun = `REDSTART_STREAMS_MESSAGES=${wanted} npm run spec -- libs/redis-streams chaos`;

/** One named test. */
export interface NamedFault {
  readonly fault: string;
  readonly topology: string;
  /** How many tests share the messages: those that take long have more of them, and leave less to the others. */
  readonly among: number;
  /** Which part of the usual pace the producers keep: 1, unless the fault lasts so long that a backlog would have to be worked off. */
  readonly pace?: number;
  /** Injects the fault once, and returns how often it struck. */
  readonly inject: (wave: Wave) => Promise<number>;
}

/**
 * One fault: lets it strike while messages flow, brings everything to order after each time, and tells whether every message has arrived.
 *
 * @throws Error with all that was found, also when the fault never struck: then nothing is proved
 */
export async function underFault(
  parts: WaveParts,
  report: RunReport,
  { fault, topology, among, pace = 1, inject }: NamedFault,
): Promise<void> {
  const title = `${fault} [${topology}]`;
  const messages = report.shareOf(wanted, among);
  const wave = await Wave.begin(title, parts, perSecond * pace);
  const findings: string[] = [];
  let injected = 0;
  let failure: unknown;
  try {
    for (let reached = 0; injected === 0 || reached < messages;) {
      injected += await inject(wave);
      await wave.recovers();
      reached = await wave.reaches(Math.min(messages, reached + messagesPerStrike));
    }
    await wave.end();
  } catch (error) {
    failure = error;
    findings.push(error instanceof Error ? error.message : String(error));
  }
  findings.unshift(...(await wave.findings()));
  if (findings.length > 0) {
    report.add({ fault, topology, injected, totals: undefined });
    const told = findings.slice(0, 20).join('\n');
    throw new Error(`${title}: injected ${injected}, NOT held (${findings.length} findings):\n${told}`, {
      cause: failure,
    });
  }
  const totals = await wave.totals();
  report.add({ fault, topology, injected, totals });
  process.stdout.write(`${title}: injected ${injected}, held; ${inWords(totals)}\n`);
  await wave.clear();
}

function inWords({ recoveries, ...totals }: WaveTotals): string {
  const slowest = (what: keyof Recovery) => Math.round(Math.max(...recoveries.map((recovery) => recovery[what])));
  return [
    `${totals.published} messages, ${totals.handledTwice} of them handled twice; ${totals.handOvers} hand-overs of partitions`,
    `${totals.committed} committed effects, ${totals.remembered} idempotent ones and ${totals.repeated} of them repeated`,
    `flowed again after ${slowest('flowsAfter')} ms, settled after ${slowest('settledAfter')} ms`,
  ].join('; ');
}
