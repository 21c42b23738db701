import { inspect } from 'node:util';
import type { Command, Redis } from 'ioredis';
import { isCluster } from './cluster.js';
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
  const undo: (() => void)[] = [hideOptions(client, name)];
  if (isCluster(client)) {
    const guardNode = (node: Redis) => undo.push(guardNodeClient(node, name, socketTimeoutMs));
    client.nodes('all').forEach(guardNode);
    client.on('+node', guardNode);
    undo.push(() => client.off('+node', guardNode));
  } else {
    undo.push(guardNodeClient(client, name, socketTimeoutMs));
  }
  return () => {
    undo.forEach((revert) => {
      revert();
    });
  };
}

const guarded = new WeakSet<Redis>();

function guardNodeClient(redis: Redis, name: string, socketTimeoutMs: number | undefined): () => void {
  if (guarded.has(redis)) return () => undefined;
  guarded.add(redis);
  const undo = [batchWrites(redis, hideFromTracing), hideArguments(redis), hideOptions(redis, name)];
  if (socketTimeoutMs !== undefined) undo.push(watchForSilence(redis, socketTimeoutMs));
  return () => {
    guarded.delete(redis);
    undo.forEach((revert) => {
      revert();
    });
  };
}

/** Commands whose arguments ioredis' own tracing would show in full: payloads of scripts, passwords of ACL SETUSER and CONFIG SET. */
const tracedInFull = new Set(['eval', 'evalsha', 'eval_ro', 'evalsha_ro', 'fcall', 'fcall_ro', 'acl', 'config']);

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

/** Takes `command.args` off an error of ioredis, in place. */
export function withoutArguments<E>(error: E): E {
  if (error instanceof Error && 'command' in error) {
    const { command } = error;
    const name = typeof command === 'object' && command !== null && 'name' in command ? command.name : undefined;
    Object.assign(error, { command: { name } });
  }
  return error;
}

function hideOptions(client: RedisClient, name: string): () => void {
  Object.defineProperty(client, inspect.custom, {
    configurable: true,
    enumerable: false,
    value: () => `${client.isCluster ? 'Cluster' : 'Redis'} { connection: '${name}', status: '${client.status}' }`,
  });
  return () => {
    Reflect.deleteProperty(client, inspect.custom);
  };
}
