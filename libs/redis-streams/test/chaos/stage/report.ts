import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import type { Recovery } from './wave.js';
import type { WaveTotals } from './wave-totals.js';

/** What became of one fault; without totals it was not held. */
export interface FaultReport {
  readonly fault: string;
  readonly topology: string;
  readonly injected: number;
  readonly totals: WaveTotals | undefined;
}

const file = join(import.meta.dirname, '..', '..', '..', '..', '..', 'bench', 'results', 'streams-chaos.md');

/** What all faults of a run came to. A long run is kept where the repository keeps its measurements. */
export class RunReport {
  readonly #faults: FaultReport[] = [];
  readonly #beganAt = performance.now();
  readonly #loadBefore = load();

  /** @param command by which this run was started */
  constructor(private readonly command: string) {}

  add(fault: FaultReport): void {
    this.#faults.push(fault);
  }

  get count(): number {
    return this.#faults.length;
  }

  /** Of so many messages those that are left for each of the faults to come. */
  shareOf(messages: number, faults: number): number {
    const published = this.#faults.reduce((sum, { totals }) => sum + (totals?.published ?? 0), 0);
    return Math.ceil(Math.max(1, messages - published) / Math.max(1, faults - this.count));
  }

  /** @param server what was put under fault, and its version */
  keep(server: string): void {
    const minutes = Math.ceil((performance.now() - this.#beganAt) / 60_000);
    const lines = [
      '# streams under fault',
      '',
      `Measured on ${new Date().toISOString().slice(0, 10)} by \`${this.command}\`.`,
      '',
      `- ${[machine(), `Node.js ${process.version}`, `ioredis ${versionOf('ioredis')}`, server].join(' · ')}, over loopback`,
      `- Four processes consume and two publish. Load average ${this.#loadBefore} before, ${load()} after; ${minutes} minutes.`,
      '',
      '## Invariants',
      '',
      'In words: `test/chaos/ledger/judge.ts`. What Redis itself lost (a restart without data, FLUSHALL, a failover to a replica that had not heard of it) excuses what was published before, and nothing else.',
      '',
      ...table([['what must hold', 'looked at', 'against it'], ...this.#invariants()]),
      '',
      '## Faults',
      '',
      'Times in ms, the median of all strikes and the longest one: until a message was handled that was published after the fault, and until everything was handled that had been acknowledged before its end.',
      '',
      ...table([
        ['fault', 'topology', 'injected', 'messages', 'flowed again', 'settled', 'handled twice', 'hand-overs', 'held'],
        ...this.#faults.map(rowOf),
      ]),
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
  }

  #invariants(): string[][] {
    const kept = this.#faults.flatMap(({ totals }) => totals ?? []);
    const broken = this.#faults.length - kept.length;
    const row = (what: string, of: (totals: WaveTotals) => number): string[] => [
      what,
      grouped(kept.reduce((sum, each) => sum + of(each), 0)),
      broken === 0 ? '0' : `see the ${broken} faults that were not held`,
    ];
    return [
      row('an acknowledged message is handled or a dead letter', ({ published }) => published),
      row('unless Redis itself lost it', ({ lost }) => lost),
      row('the effect of a `ctx.commit` takes place exactly once', ({ committed }) => committed),
      row('the effect of an `idempotent` handler takes place', ({ remembered }) => remembered),
      row('and again only by a strike at its handler', ({ repeated }) => repeated),
      row('and not for an entry that is added again', ({ addedAgain }) => addedAgain),
      row('what fails for good, and nothing else, is a dead letter, once', ({ deadLetters }) => deadLetters),
      row('what is delayed is handled, and not before its time', ({ delayed }) => delayed),
      row('a message of a batch that fails once is handled later', ({ failedInBatch }) => failedInBatch),
      row('a message of a key is begun after the one before it', ({ keyed }) => keyed),
      row("an event of Nest's transport is handled", ({ emitted }) => emitted),
      row('pending 0, lag 0 and nothing waiting at the end, no rejection unhandled', () => 1),
    ];
  }
}

function rowOf({ fault, topology, injected, totals }: FaultReport): string[] {
  if (totals === undefined) return [fault, topology, String(injected), '', '', '', '', '', 'NOT HELD'];
  const times = (of: (recovery: Recovery) => number): string => {
    const sorted = totals.recoveries.map(of).toSorted((one, other) => one - other);
    const [middle = 0, longest = 0] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
    return `${Math.round(middle)} / ${Math.round(longest)}`;
  };
  return [
    ...[fault, topology, String(injected), String(totals.published)],
    ...[times(({ flowsAfter }) => flowsAfter), times(({ settledAfter }) => settledAfter)],
    ...[String(totals.handledTwice), String(totals.handOvers), 'yes'],
  ];
}

/** As Prettier would write it. */
function table(rows: readonly (readonly string[])[]): string[] {
  const [head = []] = rows;
  const widths = head.map((_, at) => Math.max(3, ...rows.map((cells) => cells[at]?.length ?? 0)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  const [first = '', ...others] = rows.map(line);
  return [first, line(widths.map((width) => '-'.repeat(width))), ...others];
}

function machine(): string {
  const processors = cpus();
  return `${processors.length} x ${processors[0]?.model.trim() ?? 'unknown processor'}`;
}

function versionOf(library: string): string {
  const path = createRequire(import.meta.url).resolve(`${library}/package.json`);
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
  return version;
}

const load = (): string => (loadavg()[0] ?? 0).toFixed(1);
const grouped = (number: number): string => number.toLocaleString('en-US');
