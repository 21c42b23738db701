import { hashSlot, OptionsError, RedisUnavailableError } from '@redstart/redis-core';
import { Command, type ChainableCommander } from 'ioredis';
import { backgroundCall, mayBeDone } from '../consumer/group.js';
import type { HeldEntry } from '../consumer/held-entry.js';
import { backoffMs, pause } from '../consumer/pause.js';
import { commitScript } from '../scripts/commit.js';
import { EntryLostError } from '../streams.errors.js';
import type { InboxNote } from './inbox.js';

/**
 * Puts the commands of an effect together: `(multi) => multi.hset('stock:1', { left: 3 }).incr('orders')`. They are carried out later, so none of them returns anything, and it can't
 * wait for anything: what it needs to know, its handler finds out before.
 */
export type Effects = (multi: ChainableCommander) => unknown;

/** What belongs to a transaction that is carried out at once, and not to a list of commands. */
const noCommands = new Set(['exec', 'execBuffer', 'multi', 'discard', 'watch', 'unwatch', 'pipeline']);
/** A reply that was lost is asked for again so often. */
const mostAttempts = 5;

/**
 * Carries out the commands of a handler and acknowledges its message, all or nothing as far as Redis can: in one script, if the entry is still ours.
 *
 * @throws EntryLostError when it is not, and then nothing was changed · OptionsError for a key of another slot, on a Cluster · RedisCommandError when a command fails; those before it were carried out, as in MULTI ·
 *   RedisUnavailableError
 */
export async function commit(entry: HeldEntry, note: InboxNote, effects: Effects): Promise<void> {
  const { source } = entry;
  const { member } = source;
  const { connection, consumer, name } = member;
  const commands = record(connection.client.pipeline(), effects);
  const keys = [source.key, note.key, ...commands.flatMap(keysOf)];
  if (connection.cluster) checkSlots(keys);
  const parts = commands.flatMap((command) => [command.args.length + 1, command.name, ...command.args]);
  const call = backgroundCall(member, 'commit');
  const run = () => {
    const of = [consumer.group, name, entry.id, note.token, note.ttlMs, source.retries ? 1 : 0, entry.trimmed ? 1 : 0];
    return connection.scripts.run(call, commitScript, keys, [...of, ...parts]);
  };
  const { unsure } = entry;
  for (let attempts = 1; ; attempts += 1) {
    try {
      const outcome = await run();
      // What earlier calls of this commit have done is in the inbox; of another commit it is not known.
      entry.unsure = unsure;
      // Trimmed while it was ours.
      if (outcome === 'gone' && !entry.trimmed && entry.foundGone()) continue;
      if (outcome !== 'committed') throw new EntryLostError(entry.id);
      entry.committed = true;
      return;
    } catch (error) {
      entry.unsure ||= mayBeDone(error);
      if (!(error instanceof RedisUnavailableError) || attempts >= mostAttempts || entry.aborted) throw error;
      await pause(connection.clock, backoffMs(attempts), entry.signal);
    }
  }
}

interface RecordedCommand {
  readonly name: string;
  readonly args: readonly (string | Buffer)[];
}

/** Writes down which commands are called, with their arguments as ioredis would send them. */
function record(pipeline: ChainableCommander, effects: Effects): RecordedCommand[] {
  const commands: RecordedCommand[] = [];
  let ended = false;
  const recorder: ChainableCommander = new Proxy(pipeline, {
    get: (target, name) => {
      if (name === 'then') return undefined; // Whoever returns it from an asynchronous function, or awaits it, gets no transaction.
      if (ended)
        throw new OptionsError(
          'ctx.commit((multi) => …)',
          `multi.${String(name)} comes too late: it was sent already.`,
        );
      if (typeof name !== 'string' || !(name in target) || noCommands.has(name)) {
        throw new OptionsError(
          `ctx.commit((multi) => multi.${String(name)})`,
          'is no command that can be part of a commit.',
        );
      }
      return (...args: unknown[]) => {
        const [commandName, given] = name === 'call' ? [String(args[0]), args.slice(1)] : [name, args];
        commands.push(commandOf(commandName, given));
        return recorder;
      };
    },
  });
  const returned: unknown = effects(recorder);
  ended = true;
  if (isThenable(returned)) {
    // What it does from now on comes too late, and is told by this.
    Promise.resolve(returned).catch(() => undefined);
    throw new OptionsError(
      'ctx.commit((multi) => …)',
      'expected a function that calls its commands at once, got an asynchronous one. Await before ctx.commit what it needs.',
    );
  }
  return commands;
}

/** The promises of other libraries as well. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function commandOf(name: string, given: unknown[]): RecordedCommand {
  const args: unknown[] = given;
  const command = new Command(name.toLowerCase(), args as ConstructorParameters<typeof Command>[1]);
  return { name: command.name, args: command.args.map((arg) => (Buffer.isBuffer(arg) ? arg : String(arg))) };
}

function keysOf({ name, args }: RecordedCommand): string[] {
  return new Command(name, [...args]).getKeys().map(String);
}

function checkSlots(keys: readonly string[]): void {
  const [stream = ''] = keys;
  const elsewhere = keys.find((key) => hashSlot(key) !== hashSlot(stream));
  if (elsewhere === undefined) return;
  throw new OptionsError(
    'ctx.commit',
    `one of its keys is in another slot than the stream "${stream}", and on a Cluster all have to be in one. Give the keys its hash tag: ctx.hashTag.`,
  );
}
