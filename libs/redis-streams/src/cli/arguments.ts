import { parseArgs, types } from 'node:util';
import type { DeadLetterFilter } from '../admin/dead-letter-filter.js';
import { deadLetterReasons, type DeadLetterReason } from '../consumer/dead-letter.js';
import { UsageError } from './usage.js';

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

const options = {
  url: text,
  cluster: flag,
  namespace: text,
  partitions: text,
  id: { type: 'string', multiple: true },
  reason: text,
  type: text,
  error: text,
  before: text,
  after: text,
  all: flag,
  limit: text,
  rate: text,
  to: text,
  json: flag,
  help: { type: 'boolean', short: 'h' },
} as const;

type Name = keyof typeof options;

const filters = ['id', 'reason', 'type', 'error', 'before', 'after'] as const;

/** Which options a command takes, beside those that say where Redis is. */
const commands = {
  groups: [],
  lag: [],
  pending: [],
  'dead-letters': [...filters, 'limit'],
  replay: [...filters, 'all', 'rate'],
  purge: [...filters, 'all'],
  reset: ['to'],
  pause: [],
  resume: [],
} as const satisfies Record<string, readonly Name[]>;

export type CommandName = keyof typeof commands;

const everywhere: readonly string[] = ['url', 'cluster', 'namespace', 'partitions', 'json', 'help'];

/** A command line that was understood. */
export interface CommandLine {
  readonly command: CommandName;
  readonly stream: { readonly name: string; readonly partitions?: number };
  /** Empty for `groups`. */
  readonly group: string;
  readonly url: string;
  readonly cluster: boolean;
  readonly namespace: string;
  readonly json: boolean;
  readonly filter: DeadLetterFilter;
  readonly limit: number | undefined;
  readonly rate: number | undefined;
  readonly to: string | Date;
}

/**
 * @returns `undefined` when help is asked for
 * @throws UsageError
 */
export function readCommandLine(argv: readonly string[], env: NodeJS.ProcessEnv): CommandLine | undefined {
  const { values, positionals } = parse(argv);
  if (values.help === true) return undefined;
  const [command = '', stream = '', group = '', ...rest] = positionals;
  if (!isCommand(command)) {
    throw new UsageError(`${command === '' ? 'A command is missing' : `There is no command "${command}"`}.`);
  }
  const wanted = command === 'groups' ? 1 : 2;
  const given = [stream, group].filter((word) => word !== '').length + rest.length;
  if (given !== wanted) throw new UsageError(`${command} wants <stream>${wanted === 2 ? ' <group>' : ' alone'}.`);
  const allowed: readonly string[] = [...everywhere, ...commands[command]];
  for (const name of Object.keys(values)) {
    if (!allowed.includes(name)) throw new UsageError(`${command} takes no --${name}.`);
  }
  const partitions = wholeNumber(values.partitions, 'partitions');
  const url = values.url ?? env['REDIS_URL'];
  if (url === undefined) throw new UsageError('--url (or REDIS_URL) is missing.');
  const namespace = values.namespace ?? env['REDSTART_NAMESPACE'];
  if (namespace === undefined) throw new UsageError('--namespace (or REDSTART_NAMESPACE) is missing.');
  const chosen = filters.some((name) => values[name] !== undefined);
  if ((command === 'replay' || command === 'purge') && !chosen && values.all !== true) {
    throw new UsageError(`${command} wants to be told which dead letters, or --all.`);
  }
  if (command === 'reset' && values.to === undefined) throw new UsageError('reset wants --to.');
  return {
    command,
    stream: partitions === undefined ? { name: stream } : { name: stream, partitions },
    group,
    ...{ url, cluster: values.cluster === true, namespace, json: values.json === true },
    filter: readFilter(values),
    limit: wholeNumber(values.limit, 'limit'),
    rate: values.rate === undefined ? undefined : positive(values.rate, 'rate'),
    to: readPosition(values.to ?? ''),
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(types.isNativeError(error) ? error.message : 'The arguments can not be read.');
  }
}

function isCommand(name: string): name is CommandName {
  return Object.hasOwn(commands, name);
}

type Values = ReturnType<typeof parse>['values'];

function readFilter({ id, reason, type, error, before, after }: Values): DeadLetterFilter {
  return {
    ...(id === undefined ? {} : { ids: id }),
    ...(reason === undefined ? {} : { reason: knownReason(reason) }),
    ...(type === undefined ? {} : { type }),
    ...(error === undefined ? {} : { error }),
    ...(before === undefined ? {} : { before: moment(before, 'before') }),
    ...(after === undefined ? {} : { after: moment(after, 'after') }),
  };
}

function knownReason(text: string): DeadLetterReason {
  const known = deadLetterReasons.find((reason) => reason === text);
  if (known === undefined) throw new UsageError(`--reason: "${text}" is none of ${deadLetterReasons.join(', ')}.`);
  return known;
}

/** Digits are an id; anything else that is none of the two words, a date. */
function readPosition(text: string): string | Date {
  return text === '' || text === 'start' || text === 'end' || /^\d+(-\d+)?$/.test(text) ? text : moment(text, 'to');
}

function moment(text: string, name: string): Date {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw new UsageError(`--${name}: "${text}" is no date, e.g. 2026-01-31T12:00:00Z.`);
  return date;
}

function wholeNumber(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`--${name}: "${text}" is no whole number above 0.`);
  return Number(text);
}

function positive(text: string, name: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new UsageError(`--${name}: "${text}" is no number above 0.`);
  return number;
}
