import type { DeadLetter } from '../admin/dead-letter.js';
import type { StreamAdmin } from '../admin/stream-admin.js';
import type { CommandLine, CommandName } from './arguments.js';
import { ageText, json, progress, table, type Output } from './output.js';

/** What a command found or did: as a value for `--json`, and in words. */
interface Result {
  readonly value: unknown;
  readonly words: string;
}

interface Work {
  readonly admin: StreamAdmin;
  readonly line: CommandLine;
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** Carries a command out and writes its result. */
export async function runCommand(work: Work): Promise<void> {
  const { value, words } = await commands[work.line.command](work);
  work.output.out(work.line.json ? json(value) : words);
}

const commands: Record<CommandName, (work: Work) => Promise<Result>> = {
  async groups({ admin, line }) {
    const groups = await admin.groups(line.stream);
    const absence = groups.length === 0 ? await admin.absence(line.stream) : undefined;
    if (absence !== undefined) throw new Error(absence);
    const head = ['GROUP', 'LAG', 'LAG AGE', 'PENDING', 'OLDEST', 'RETRYING', 'DEAD', 'CONSUMERS', ''];
    const rows = groups.map((group) => [
      ...[group.name, String(group.lag), ageText(group.lagMs), String(group.pending), ageText(group.oldestPendingMs)],
      ...[String(group.retrying), String(group.deadLetters), String(group.consumers), group.paused ? 'paused' : ''],
    ]);
    return { value: groups, words: rows.length === 0 ? 'The stream has no groups.' : table([head, ...rows]) };
  },

  async lag({ admin, line }) {
    const lag = await admin.lag(line.stream, line.group);
    return { value: { lag }, words: String(lag) };
  },

  async pending({ admin, line }) {
    const pending = await admin.pending(line.stream, line.group);
    const { total, oldestMs, retrying, byConsumer } = pending;
    const rows = Object.entries(byConsumer).map(([consumer, count]) => [`  ${consumer}`, String(count)]);
    return {
      value: pending,
      words: table([
        ['pending', String(total)],
        ...rows,
        ['oldest', ageText(oldestMs)],
        ['waiting for a retry', String(retrying)],
      ]),
    };
  },

  async 'dead-letters'({ admin, line }) {
    const letters = admin.deadLetters(line.stream, line.group);
    const { limit } = line;
    const listed = await letters.list({ ...line.filter, ...(limit === undefined ? {} : { limit }) });
    const count = await letters.count();
    const head = ['ID', 'SINCE', 'REASON', 'EVENT', 'ATTEMPTS', 'DELIVERIES', 'ERROR'];
    const words = table([head, ...listed.map(rowOf)]);
    return { value: { count, letters: listed }, words: `${words}\n${listed.length} of ${count}` };
  },

  async replay({ admin, line, output, signal }) {
    const result = await admin.deadLetters(line.stream, line.group).replay(line.filter, {
      ...(line.rate === undefined ? {} : { rate: line.rate }),
      signal,
      onProgress: progress(output, 'replayed'),
    });
    const left = result.empty === 0 ? '' : `; ${result.empty} hold no entry and stay`;
    return { value: result, words: `replayed ${result.replayed}${left}` };
  },

  async purge({ admin, line, output, signal }) {
    const onProgress = progress(output, 'purged');
    const purged = await admin.deadLetters(line.stream, line.group).purge(line.filter, { signal, onProgress });
    return { value: { purged }, words: `purged ${purged}` };
  },

  async reset({ admin, line }) {
    await admin.reset(line.stream, line.group, { to: line.to });
    const lag = await admin.lag(line.stream, line.group);
    return { value: { lag }, words: `reset; ${lag} entries are ahead of the group` };
  },

  async pause({ admin, line }) {
    await admin.pause(line.stream, line.group);
    return { value: { paused: true }, words: 'paused, until it is resumed' };
  },

  async resume({ admin, line }) {
    await admin.resume(line.stream, line.group);
    return { value: { paused: false }, words: 'resumed' };
  },
};

const longestMessage = 80;

function rowOf({ id, since, reason, message, attempts, deliveries, error }: DeadLetter): string[] {
  const [firstLine = ''] = error.message.split('\n');
  const told = [error.name, firstLine.slice(0, longestMessage)].filter((text) => text !== '').join(': ');
  return [id, since.toISOString(), reason, message?.type ?? '-', String(attempts), String(deliveries), told];
}
