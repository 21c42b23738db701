import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import pg from 'pg';
import { EmbeddedPostgres } from '../src/database/embedded-postgres.js';
import { eventually } from './support/eventually.js';
import { type StartedDatabase, startEmbedded } from './support/prepared-database.js';

describe('many clients of the embedded database', () => {
  it('get the answers to their own questions, also while transactions are open', async () => {
    await using postgres = await EmbeddedPostgres.start();
    const pool = new pg.Pool({ connectionString: postgres.url, max: 10 });
    const ask = async (client: pg.Pool | pg.PoolClient, statement: string, index: number) => {
      const { rows } = await client.query<{ answer: string }>(`select '${statement}' || $1::text as answer`, [index]);
      return rows[0]?.answer;
    };
    const inTransaction = async (statement: string, index: number) => {
      const client = await pool.connect();
      try {
        await client.query('begin');
        const answer = await ask(client, statement, index);
        await client.query('commit');
        return answer;
      } finally {
        client.release();
      }
    };

    const questions = Array.from({ length: 600 }, (_, index) => ({ index, statement: 'ABC'.charAt(index % 3) }));
    const answers = await Promise.all(
      questions.map(({ statement, index }) =>
        statement === 'A' ? inTransaction(statement, index) : ask(pool, statement, index),
      ),
    );

    expect(answers).toEqual(questions.map(({ statement, index }) => `${statement}${index}`));
    await pool.end();
  });
});

/** A client that says what it likes, message by message. */
class RawClient {
  private constructor(
    readonly socket: Socket,
    private heard: string,
  ) {
    socket.on('data', (chunk) => (this.heard += chunk.toString('latin1')));
    socket.on('error', () => undefined); // a server that went away is what a test may be about
  }

  static async connect({ url }: StartedDatabase): Promise<RawClient> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    await once(socket, 'connect');
    const client = new RawClient(socket, '');
    const parameters = Buffer.from('user\0postgres\0database\0postgres\0\0');
    const head = Buffer.alloc(8);
    head.writeInt32BE(8 + parameters.length, 0);
    head.writeInt32BE(196_608, 4);
    socket.write(Buffer.concat([head, parameters]));
    await client.hears(READY);
    return client;
  }

  send(...messages: [type: string, content?: string][]): void {
    const bytes = messages.map(([type, content = '']) => {
      const message = Buffer.from(`${type}\0\0\0\0${content}`, 'latin1');
      message.writeInt32BE(message.length - 1, 1);
      return message;
    });
    this.socket.write(Buffer.concat(bytes));
  }

  /** Waits for the answer to what was sent last. */
  async hears(answer: RegExp): Promise<void> {
    await eventually(() => {
      expect(this.heard).toMatch(answer);
    });
    this.heard = '';
  }
}

const READY = /Z\0\0\0\u0005[ITE]$/;
const query = (text: string): [string, string] => ['Q', `${text}\0`];
const parse = (text: string): [string, string] => ['P', `\0${text}\0\0\0`];
const bind: [string, string] = ['B', '\0'.repeat(8)];
const execute: [string, string] = ['E', '\0'.repeat(5)];
const sync: [string] = ['S'];
const terminate: [string] = ['X'];

describe('a client that leaves in the middle', () => {
  let postgres: StartedDatabase;
  let others: pg.Pool;

  beforeAll(async () => {
    postgres = await startEmbedded('empty');
    others = new pg.Pool({ connectionString: postgres.url, max: 5 });
    await others.query('create table kept (what text)');
  });
  afterAll(async () => {
    await others.end();
    await postgres[Symbol.asyncDispose]();
  });

  /** Five at once, each its own answer; and nothing of what the client had begun. */
  const expectOthersToGoOn = async () => {
    const answers = await Promise.all(
      [1, 2, 3, 4, 5].map((n) => others.query<{ n: string }>('select $1::text as n', [n])),
    );
    expect(answers.map(({ rows }) => rows[0]?.n)).toEqual(['1', '2', '3', '4', '5']);
    const { rows } = await others.query('select * from kept');
    expect(rows).toEqual([]);
  };
  const insertion = parse("insert into kept values ('x')");

  it.each<[string, [string, string?][], RegExp]>([
    ['after a Parse', [insertion], /^1/],
    ['after an Execute, before its Sync', [insertion, bind, execute], /INSERT 0 1\0$/],
    ['after an error, before its Sync', [parse('selekt')], /^E.*\0$/s],
    ['within a transaction', [query('begin'), query("insert into kept values ('x')")], READY],
    ['within a transaction, after an Execute', [query('begin'), insertion, bind, execute], /INSERT 0 1\0$/],
    ['within a transaction, after an error', [query('begin'), insertion, bind, execute, parse('selekt')], /selekt/],
  ])('holds nobody up and leaves nothing behind: %s', async (_, messages, answer) => {
    for (const leave of ['destroys its connection', 'says goodbye'] as const) {
      const client = await RawClient.connect(postgres);
      client.send(...messages);
      await client.hears(answer);
      // Somebody waits already, behind the open cycle.
      const waiting = expectOthersToGoOn();
      if (leave === 'says goodbye') client.send(terminate);
      else client.socket.destroy();
      await waiting;
      await expectOthersToGoOn();
      client.socket.destroy();
    }
  });

  it('goes on after an error that it has synced, and holds nobody up by a Flush or by data that nobody asked for', async () => {
    const client = await RawClient.connect(postgres);
    client.send(parse('selekt'), bind, execute, sync);
    await client.hears(/Z\0\0\0\u0005I$/);
    client.send(['H'], ['d', 'x\n'], ['c']);
    await expectOthersToGoOn();
    client.send(parse("select 'fine'"), bind, execute, sync);
    await client.hears(/fine/);
    client.socket.destroy();
  });

  it('may read a table with COPY', async () => {
    const client = await RawClient.connect(postgres);
    client.send(query("copy (select 'row of a copy') to stdout"));
    await client.hears(/row of a copy/);
    await expectOthersToGoOn();
    client.socket.destroy();
  });
});

describe('an engine that crashes', () => {
  it('closes the connections of its clients instead of letting them wait', async () => {
    const postgres = await startEmbedded('empty');
    const pool = new pg.Pool({ connectionString: postgres.url, max: 2 });
    pool.on('error', () => undefined); // the idle connection is lost, which is the point
    await pool.query('create table target (what text)');
    const idle = await pool.connect();
    idle.on('error', () => undefined); // as above
    const closed = new Promise((resolve) => idle.once('end', resolve));

    const copy = await RawClient.connect(postgres); // PGlite ends when it is asked to read from a client
    copy.send(query('copy target from stdin'));

    await postgres.whenCrashed;
    await closed;
    await expect(pool.query('select 1')).rejects.toThrow();
    idle.release();
    await pool.end();
    await postgres[Symbol.asyncDispose]();
  });
});
