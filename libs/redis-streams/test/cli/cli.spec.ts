import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { cluster, describeOn, eventually, RedisServer, standalone } from '@redstart/redis-testing';
import { Programs } from '@redstart/redis-testing/programs';
import { readCommandLine } from '../../src/cli/arguments.js';
import { runProgram } from '../../src/cli/program.js';
import { UsageError } from '../../src/cli/usage.js';
import { addLetter, addOrders, deliver } from '../support/foreign-entries.js';
import { billingDeadLetters, ordersKey } from '../support/read-redis.js';

const nowhere = { REDIS_URL: 'redis://127.0.0.1:1', REDSTART_NAMESPACE: 'shop' };

let programs: Programs;
beforeAll(async () => {
  programs = await Programs.compile(join(import.meta.dirname, '..', '..'));
});
afterAll(() => programs[Symbol.asyncDispose]());

/** Starts the command as a user does, as a process of its own; never with the environment of the specs. */
function start(args: string[], env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [programs.script('src/cli/main'), ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(
    ([out, err, [code]]) => ({ out: out.trim(), err: err.trim(), code: code as number }),
  );
  return { child, ended };
}

/** The same without a process, which would take half a second each time. */
async function run(args: string[], env: NodeJS.ProcessEnv = {}) {
  const told: Record<'out' | 'err', string[]> = { out: [], err: [] };
  const output = { out: (line: string) => told.out.push(line), err: (line: string) => told.err.push(line) };
  const code = await runProgram(args, env, output, new AbortController().signal);
  return { out: told.out.join('\n').trim(), err: told.err.join('\n').trim(), code };
}

describeOn(standalone, cluster)('redstart-streams', (redis) => {
  const inCluster = redis.topology === 'cluster' ? ['--cluster'] : [];
  const place = () => {
    const { connection } = redis;
    const [node] = 'cluster' in connection ? connection.cluster : [];
    const url = 'url' in connection ? connection.url : `redis://${node?.host ?? ''}:${node?.port ?? 0}`;
    return { REDIS_URL: url, REDSTART_NAMESPACE: 'shop' };
  };
  /** Runs a command that is to succeed. @returns what it printed */
  const print = async (...args: string[]) => {
    const { out, err, code } = await run([...args, ...inCluster], place());
    expect({ err, code }).toEqual({ err: '', code: 0 });
    return out;
  };
  const printJson = async (...args: string[]): Promise<unknown> => JSON.parse(await print(...args, '--json'));
  const prepare = async () => {
    const client = redis.client();
    await addOrders(client, 5);
    await client.xgroup('CREATE', ordersKey, 'billing', '0');
    await deliver(client, 2, 'c-1');
    return client;
  };

  it('shows how groups stand, in words and as JSON', async () => {
    const client = await prepare();
    await addLetter(client, 1);
    const [words, asJson, lag, pending] = await Promise.all([
      print('groups', 'orders'),
      printJson('groups', 'orders'),
      print('lag', 'orders', 'billing'),
      printJson('pending', 'orders', 'billing'),
    ]);
    const inAProcess = await start(['groups', 'orders', ...inCluster], place()).ended;
    expect(inAProcess).toMatchObject({ err: '', code: 0 });
    for (const told of [words, inAProcess.out])
      expect(told).toMatch(/^GROUP +LAG +LAG AGE +PENDING .*\nbilling +3 +\d+m?s +2 /);
    expect(asJson).toEqual([expect.objectContaining({ name: 'billing', lag: 3, pending: 2, deadLetters: 1 })]);
    expect(lag).toBe('3');
    expect(pending).toMatchObject({ total: 2, byConsumer: { 'c-1': 2 } });
  });

  it('lists, replays and purges dead letters', async () => {
    const client = redis.client();
    const escape = '\u001b[31mred\u202e';
    const first = await addLetter(client, 1, { error: escape });
    for (const id of [2, 3, 4]) await addLetter(client, id, { reason: 'schema' });

    const listed = await print('dead-letters', 'orders', 'billing', '--reason', 'attempts');
    expect(listed).toContain(first);
    expect(listed).toContain('\ufffd[31mred\ufffd: no 1');
    expect(listed).toContain('1 of 4');
    expect(listed).toMatch(/^ID .* ATTEMPTS +DELIVERIES +ERROR\n.* order\.created +3 +5 /);
    expect(await printJson('dead-letters', 'orders', 'billing', '--id', first)).toMatchObject({
      count: 4,
      letters: [{ id: first, attempts: 3, deliveries: 5, message: { payload: { id: 1 } } }],
    });
    expect(await print('replay', 'orders', 'billing', '--id', first, '--json')).toContain('"replayed": 1');
    expect(await client.xlen(`${ordersKey}:retry:billing`)).toBe(1);
    expect(await print('purge', 'orders', 'billing', '--reason', 'schema', '--after', '2020-01-01')).toBe('purged 3');
    expect(await client.xlen(billingDeadLetters)).toBe(0);
  });

  it('resets, pauses and resumes a group', async () => {
    const client = await prepare();
    expect(await print('reset', 'orders', 'billing', '--to', 'start')).toBe('reset; 5 entries are ahead of the group');
    expect(await print('pause', 'orders', 'billing')).toContain('paused');
    expect(await client.exists(`${ordersKey}:paused:billing`)).toBe(1);
    expect(await printJson('resume', 'orders', 'billing')).toEqual({ paused: false });
    expect(await client.exists(`${ordersKey}:paused:billing`)).toBe(0);
  });
});

describe('redstart-streams on a bad day', () => {
  it('tells how long work goes on, ends it when interrupted, and keeps what was done', async () => {
    await using server = await RedisServer.start();
    const client = server.client();
    for (let id = 1; id <= 50; id += 1) await addLetter(client, id);
    const { child, ended } = start(
      ['replay', 'orders', 'billing', '--all', '--rate', '5', '--url', server.url, '--namespace', 'shop'],
      {},
    );
    await eventually(async () => (await client.xlen(`${ordersKey}:retry:billing`)) >= 10, { within: 30_000 });
    child.kill('SIGINT');
    const { out, err, code } = await ended;
    expect({ out, code }).toEqual({ out: '', code: 130 });
    expect(err).toMatch(/^replayed \d+ so far$/m);
    expect(err).toContain('replay: interrupted; what was done stays done');
    const replayed = await client.xlen(`${ordersKey}:retry:billing`);
    expect(replayed).toBeLessThan(50);
    expect(await client.xlen(billingDeadLetters)).toBe(50 - replayed);
  });

  it('never prints the password, whatever goes wrong', async () => {
    await using server = await RedisServer.start();
    await server.client().acl('SETUSER', 'user', 'on', '>opensesame');
    const { host, port } = new URL(server.url); // the host with its port
    const places = [
      `redis://user:wr0ng-s3cret%21@${host}`, //            refused by the server
      `redis://user:wr0ng-s3cret%21@${host}:${port}:${port}`, // no URL
      `http://user:wr0ng-s3cret%21@${host}`, //             no Redis
    ];
    const failed = await Promise.all(
      places.map((url) => run(['groups', 'orders', '--namespace', 'shop', '--url', url])),
    );
    for (const { out, err, code } of failed) {
      expect({ out, code }).toEqual({ out: '', code: 1 });
      expect(err).toMatch(/^groups: ./);
      expect(err).not.toMatch(/s3cret/);
      expect(err).not.toContain('    at ');
    }
    const [at = ''] = places;
    const misplaced = await Promise.all([run([at]), run([`--urll=${at}`]), run(['groups', 'a', `--before=${at}`])]);
    for (const { err, code } of misplaced) {
      expect(code).toBe(2);
      expect(err).not.toMatch(/s3cret/);
    }
  });

  it.each<[args: string[], message: string, env?: NodeJS.ProcessEnv]>([
    [[], 'A command is missing'],
    [['explode'], 'There is no command "explode"'],
    [['lag', 'orders'], 'lag wants <stream> <group>.'],
    [['groups', 'orders', 'billing'], 'groups wants <stream> alone.'],
    [['groups', 'orders', '--to', 'end'], 'groups takes no --to.'],
    [['groups', 'orders', '--wat'], "Unknown option '--wat'"],
    [['purge', 'orders', 'billing'], 'purge wants to be told which dead letters, or --all.'],
    [['replay', 'orders', 'billing', '--rate', '5'], 'replay wants to be told which dead letters, or --all.'],
    [['replay', 'orders', 'billing', '--all', '--rate', '0'], '--rate: "0" is no number above 0.'],
    [['purge', 'orders', 'billing', '--before', 'soon'], '--before: "soon" is no date'],
    [['purge', 'orders', 'billing', '--reason', 'nope'], '--reason: "nope" is none of attempts, unrecoverable, '],
    [['reset', 'orders', 'billing'], 'reset wants --to.'],
    [['groups', 'orders', '--partitions', '-1'], "Option '--partitions'"],
    [['groups', 'orders'], '--url (or REDIS_URL) is missing.', {}],
    [['groups', 'orders', '--url', 'redis://x'], '--namespace (or REDSTART_NAMESPACE) is missing.', {}],
  ])('does not understand %j', (args, message, env = nowhere) => {
    expect(() => readCommandLine(args, env)).toThrow(UsageError);
    expect(() => readCommandLine(args, env)).toThrow(message);
  });

  it('explains itself, and what it does not understand', async () => {
    const [help, wrong] = await Promise.all([run(['--help']), run(['purge', 'orders', 'bil\u001bling'], nowhere)]);
    expect(help).toMatchObject({ code: 0, err: '' });
    expect(help.out).toContain('Usage: redstart-streams <command>');
    expect(wrong).toMatchObject({ code: 2, out: '' });
    expect(wrong.err).toContain('purge wants to be told which dead letters, or --all.\nTry redstart-streams --help.');
  });

  it('says which groups there are when one is asked for that is not', async () => {
    await using server = await RedisServer.start();
    await server.client().xgroup('CREATE', ordersKey, 'billing', '0', 'MKSTREAM');
    const where = { REDIS_URL: server.url, REDSTART_NAMESPACE: 'shop' };
    expect(await run(['lag', 'orders', 'bilings'], where)).toEqual({
      out: '',
      err: 'lag: The stream "orders" has no group "bilings". Known groups: billing.',
      code: 1,
    });
  });

  it('fails where there is nothing of the name, and does not say that it has worked', async () => {
    await using server = await RedisServer.start();
    const client = server.client();
    await client.xgroup('CREATE', ordersKey, 'billing', '0', 'MKSTREAM');
    await client.xgroup('CREATE', 'shop:stream:{ship/0}', 'billing', '0', 'MKSTREAM');
    const where = { REDIS_URL: server.url, REDSTART_NAMESPACE: 'shop' };
    const divided = 'The stream "ship" is partitioned: say how many partitions it has.';
    for (const [command, err] of [
      ['resume orders bilings', 'Known groups: billing.'],
      ['replay orders bilings --all', 'Known groups: billing.'],
      ['purge orders bilings --all', 'Known groups: billing.'],
      ['dead-letters orders bilings', 'Known groups: billing.'],
      ['resume ship billing', divided],
      ['groups ship', divided],
      ['groups orderz', 'There is no stream "orderz".'],
    ] as const) {
      const told = await run(command.split(' '), where);
      expect({ command, ...told }).toEqual({ command, out: '', err: expect.stringContaining(err) as string, code: 1 });
    }
    await client.xgroup('DESTROY', ordersKey, 'billing');
    expect(await run(['groups', 'orders'], where)).toMatchObject({ out: 'The stream has no groups.', code: 0 });
  });
});
