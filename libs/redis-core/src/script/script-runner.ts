import type { ChainableCommander, Redis } from 'ioredis';
import { isNoScript, toRedstartError } from '../connection/failures.js';
import type { CallAttempt, RedisCall, RedisConnection } from '../connection/redis-connection.js';
import { RedisCommandError } from '../redis.errors.js';
import type { RedisClient } from '../redis.options.js';
import type { Script, ScriptArgument } from './define-script.js';

export interface ScriptCall<Result> {
  readonly script: Script<Result>;
  readonly keys: readonly string[];
  readonly args: readonly ScriptArgument[];
}

/**
 * Runs scripts by their digest (EVALSHA), and by their text (EVAL, which also loads it) when the server answers NOSCRIPT: after its
 * restart, a SCRIPT FLUSH or a failover. A script that takes that second way runs after what was sent behind it meanwhile: whoever needs an order
 * awaits. Works per node of a Cluster by itself, since both commands go where the first key lives.
 */
export class ScriptRunner {
  constructor(private readonly connection: RedisConnection) {}

  /**
   * Runs one script. Calls of one tick leave in one system call anyway, so this is also the way to run many.
   * @param by the text loads the script: what is sent to this node behind it, by the digest, keeps its order
   * @throws see {@link RedisConnection.call}
   */
  run<Result>(
    call: RedisCall,
    script: Script<Result>,
    keys: readonly string[],
    args: readonly ScriptArgument[],
    by: 'digest' | 'text' = 'digest',
  ): Promise<Result> {
    checkKeyCount(script, keys);
    return this.connection.call(call, (client, attempt) =>
      by === 'text'
        ? send(client, { script, keys, args }, 'eval').then(script.parse)
        : evaluate(client, { script, keys, args }, attempt),
    );
  }

  /**
   * Runs several scripts in one explicit pipeline; all keys must live on one node. A script that the server did not know is run in a
   * second pipeline, so it may run after later ones of the same list.
   *
   * @returns one outcome per call, in order
   */
  runPipelined<Result>(call: RedisCall, calls: readonly ScriptCall<Result>[]): Promise<PromiseSettledResult<Result>[]> {
    calls.forEach(({ script, keys }) => {
      checkKeyCount(script, keys);
    });
    return this.connection.call(call, async (client) => {
      const outcomes = await evaluatePipelined(client, calls);
      return outcomes.map((outcome) =>
        outcome.status === 'fulfilled'
          ? outcome
          : { ...outcome, reason: toRedstartError(outcome.reason, call.operation, this.connection.place) },
      );
    });
  }

  /**
   * Adds a script to a transaction, by its text: EVALSHA inside MULTI can't be recovered when the server does not know the script, and
   * would leave the transaction half done.
   */
  addToTransaction<Result>(
    multi: ChainableCommander,
    script: Script<Result>,
    keys: readonly string[],
    args: readonly ScriptArgument[],
  ): void {
    checkKeyCount(script, keys);
    multi.eval(script.lua, keys.length, ...keys, ...args);
  }
}

/** EVALSHA, then EVAL on NOSCRIPT, on any client: for connections of one's own, such as those of a quorum. */
export async function evaluate<Result>(
  client: RedisClient | Redis,
  scriptCall: ScriptCall<Result>,
  attempt: CallAttempt = { abandoned: false },
): Promise<Result> {
  const { parse } = scriptCall.script;
  try {
    return parse(await send(client, scriptCall, 'evalsha'));
  } catch (error) {
    if (!isNoScript(error) || attempt.abandoned) throw error;
    return parse(await send(client, scriptCall, 'eval'));
  }
}

function send(
  client: RedisClient | Redis,
  { script, keys, args }: ScriptCall<unknown>,
  command: 'evalsha' | 'eval',
): Promise<unknown> {
  const text = command === 'eval' ? script.lua : script.sha1;
  return script.buffers
    ? client.callBuffer(command, text, keys.length, ...keys, ...args)
    : client[command](text, keys.length, ...keys, ...args);
}

async function evaluatePipelined<Result>(
  client: RedisClient,
  calls: readonly ScriptCall<Result>[],
): Promise<PromiseSettledResult<Result>[]> {
  const first = await execute(client, calls, ({ script }) => ['evalsha', script.sha1]);
  const unknown = calls.flatMap((call, index) => (isNoScript(first[index]?.[0]) ? [{ call, index }] : []));
  if (unknown.length > 0) {
    const again = await execute(
      client,
      unknown.map(({ call }) => call),
      ({ script }) => ['eval', script.lua],
    );
    unknown.forEach(({ index }, position) => {
      first[index] = again[position] ?? first[index] ?? [null, undefined];
    });
  }
  return calls.map(({ script }, index) => {
    const [error, reply] = first[index] ?? [new Error('The pipeline ended early.'), undefined];
    return error === null ? { status: 'fulfilled', value: script.parse(reply) } : { status: 'rejected', reason: error };
  });
}

async function execute<Result>(
  client: RedisClient,
  calls: readonly ScriptCall<Result>[],
  text: (call: ScriptCall<Result>) => [command: 'evalsha' | 'eval', script: string],
): Promise<[error: Error | null, reply: unknown][]> {
  const pipeline = client.pipeline();
  for (const call of calls) {
    const [command, script] = text(call);
    if (call.script.buffers) pipeline.callBuffer(command, script, call.keys.length, ...call.keys, ...call.args);
    else pipeline[command](script, call.keys.length, ...call.keys, ...call.args);
  }
  return (await pipeline.exec()) ?? [];
}

function checkKeyCount(script: Script<unknown>, keys: readonly string[]): void {
  if (script.keys !== 'any' && keys.length !== script.keys) {
    throw new RedisCommandError(`${script.name} takes ${script.keys} keys, got ${keys.length}.`, 'KEYS');
  }
}
