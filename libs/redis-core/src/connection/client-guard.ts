import { inspect } from 'node:util';
import type { Command, Redis } from 'ioredis';
import { isCluster } from './cluster.js';
import { guardConnector } from './connector-guard.js';
import { withoutQuotes } from './failures.js';
import { watchForSilence } from './silence-watch.js';
import type { RedisClient } from '../redis.options.js';
import { batchWrites } from '../batch/batch-writes.js';

/**
 * Prepares a client for work: writes of one tick leave together, and no secret leaves at all.
 *
 * ioredis hangs the arguments of a failed command on its error (a password of AUTH, the value of a SET), shows its options with
 * the password to `util.inspect`, and passes script arguments to its own tracing channel. All three are closed here, per instance.
 *
 * @param socketTimeoutMs cut a connection that has been silent for so long; undefined where silence is normal
 * @returns takes everything off again
 */
export function guardClient(client: RedisClient, name: string, socketTimeoutMs?: number): () => void {
  if (!isCluster(client)) return guardNodeClient(client, name, socketTimeoutMs);
  const showOptions = hideOptions(client, name);
  const nodes = new Map<Redis, () => void>();
  const guardNode = (node: Redis) => {
    if (!nodes.has(node)) nodes.set(node, guardNodeClient(node, name, socketTimeoutMs));
  };
  // A node that left keeps its guard to its end; we only let go of it.
  const forgetNode = (node: Redis) => nodes.delete(node);
  client.nodes('all').forEach(guardNode);
  client.on('+node', guardNode).on('-node', forgetNode);
  return () => {
    client.off('+node', guardNode).off('-node', forgetNode);
    showOptions();
    for (const takeOff of nodes.values()) takeOff();
  };
}

/** Guards on a client, which several applications may share: the last one to leave takes them off. */
const guards = new WeakMap<Redis, { users: number; takeOff: () => void }>();

function guardNodeClient(redis: Redis, name: string, socketTimeoutMs: number | undefined): () => void {
  const guard = guards.get(redis) ?? { users: 0, takeOff: putOn(redis, name, socketTimeoutMs) };
  guards.set(redis, guard);
  guard.users += 1;
  return () => {
    guard.users -= 1;
    if (guard.users > 0) return;
    guards.delete(redis);
    guard.takeOff();
  };
}

function putOn(redis: Redis, name: string, socketTimeoutMs: number | undefined): () => void {
  const undo = [
    batchWrites(redis, hideFromTracing),
    hideArguments(redis),
    hideOptions(redis, name),
    refuseOtherDatabase(redis),
    guardConnector(redis),
    hearAsking(redis),
  ];
  if (socketTimeoutMs !== undefined) undo.push(watchForSilence(redis, socketTimeoutMs));
  return () => {
    undo.forEach((revert) => {
      revert();
    });
  };
}

/**
 * ioredis goes on in database 0 when the server refuses to select another one, and only says so by an `error` event. Such a connection is
 * cut before it becomes ready, so that nothing is ever written to the wrong database.
 */
function refuseOtherDatabase(redis: Redis): () => void {
  const onError = (error: Error) => {
    const refused = 'command' in error && (error.command as { name?: unknown } | undefined)?.name === 'select';
    if (refused && redis.status !== 'end') redis.disconnect(true);
  };
  redis.on('error', onError);
  return () => redis.off('error', onError);
}

/**
 * Where a slot is on its way, ioredis sends an ASKING ahead of a command and keeps no hold of its promise: when the connection ends meanwhile, as
 * one to a master without slots does at each look at the slots, Node would end the process for it. The command itself tells its caller.
 */
function hearAsking(redis: Redis): () => void {
  const asking = redis.asking.bind(redis);
  redis.asking = (...given) => {
    const sent = asking(...given);
    sent.catch(() => {
      // Told by the command behind it.
    });
    return sent;
  };
  return () => {
    Reflect.deleteProperty(redis, 'asking');
  };
}

/** Commands whose arguments ioredis' own tracing would show in full: payloads of scripts, passwords of ACL SETUSER and CONFIG SET. */
const tracedInFull = new Set(
  ['eval', 'evalsha', 'eval_ro', 'evalsha_ro', 'fcall', 'fcall_ro', 'acl', 'config'].flatMap((name) => [
    name,
    name.toUpperCase(), // As `client.call` leaves it.
  ]),
);

function hideFromTracing(command: Command): void {
  if (tracedInFull.has(command.name)) Object.assign(command, { isTraced: true });
  // Only errors of pipelines reach `reject` without passing `handleReconnection`, see hideArguments.
  if ('pipelineIndex' in command) {
    const { reject } = command;
    command.reject = (error: Error) => {
      reject.call(command, withoutArguments(error));
    };
  }
}

interface ErrorHandling {
  handleReconnection(error: Error, item: unknown): void;
}

/** Every error reply passes `handleReconnection` before it rejects its command: the arguments are taken off there. */
function hideArguments(redis: Redis): () => void {
  const client: Redis & ErrorHandling = redis;
  const handleReconnection: ErrorHandling['handleReconnection'] = client.handleReconnection.bind(redis);
  client.handleReconnection = (error, item) => {
    handleReconnection(withoutArguments(error), item);
  };
  return () => {
    Reflect.deleteProperty(client, 'handleReconnection');
  };
}

/** Takes the arguments off an error of ioredis, in place: from `command.args`, and from the message where the server repeats them. */
export function withoutArguments<E>(error: E): E {
  if (error instanceof Error && 'command' in error) {
    const told = withoutQuotes(error.message);
    if (told !== error.message) {
      if (error.stack !== undefined) error.stack = error.stack.replace(error.message, told);
      error.message = told;
    }
    const { command } = error;
    const name = typeof command === 'object' && command !== null && 'name' in command ? command.name : undefined;
    Object.assign(error, { command: { name } });
  }
  return error;
}

function hideOptions(client: RedisClient, name: string): () => void {
  const described = () =>
    `${client.isCluster ? 'Cluster' : 'Redis'} { connection: '${name}', status: '${client.status}' }`;
  for (const reader of [inspect.custom, 'toJSON']) {
    Object.defineProperty(client, reader, { configurable: true, enumerable: false, value: described });
  }
  return () => {
    Reflect.deleteProperty(client, inspect.custom);
    Reflect.deleteProperty(client, 'toJSON');
  };
}
