import { existsSync } from 'node:fs';
import { databaseFolder } from '../test/support/database-folder.js';
import { BuiltProcess, serveEmbedded } from './support/processes.js';
import { query } from './support/query.js';

describe('the embedded database', () => {
  it('prints its address and nothing else, keeps its data over a restart, and ends cleanly on SIGTERM', async () => {
    await using folder = await databaseFolder('none');
    const { served, url } = await serveEmbedded(folder.path);
    await using _served = served;
    await query(url, 'create table kept as select 42 as answer');
    served.child.kill('SIGTERM');
    await expect(served.ended).resolves.toEqual({
      code: 0,
      signal: null,
      stdout: `${JSON.stringify({ url })}\n`,
      stderr: '',
    });
    expect(existsSync(`${folder.path}.lock`)).toBe(false);

    const again = await serveEmbedded(folder.path);
    await using _again = again.served;
    await expect(query(again.url, 'select answer from kept')).resolves.toEqual([{ answer: 42 }]);
  });

  it('ends when the process that started it is gone, seen by its standard input', async () => {
    await using folder = await databaseFolder('empty');
    const { served } = await serveEmbedded(folder.path);
    await using _served = served;
    served.child.stdin?.end();
    await expect(served.ended).resolves.toMatchObject({ code: 0, stderr: '' });
  });

  it('refuses a second server on the same data in one line', async () => {
    await using folder = await databaseFolder('empty');
    const { served, url } = await serveEmbedded(folder.path);
    await using _served = served;

    await using second = new BuiltProcess('database/serve-embedded.js', ['--data-dir', folder.path]);
    await expect(second.ended).resolves.toMatchObject({
      code: 1,
      stdout: '',
      stderr: `Another server already uses the data folder ${folder.path}.\n`,
    });
    await expect(query(url, 'select 1 as one')).resolves.toEqual([{ one: 1 }]);
  });

  it('takes the data over from a server that was killed', async () => {
    await using folder = await databaseFolder('empty');
    const { served, url } = await serveEmbedded(folder.path);
    await query(url, 'create table kept as select 42 as answer');
    await served[Symbol.asyncDispose]();
    expect(existsSync(`${folder.path}.lock`)).toBe(true);

    const again = await serveEmbedded(folder.path);
    await using _again = again.served;
    await expect(query(again.url, 'select answer from kept')).resolves.toEqual([{ answer: 42 }]);
  });

  it('ends when its engine crashes, and has kept what was committed', async () => {
    await using folder = await databaseFolder('empty');
    const { served, url } = await serveEmbedded(folder.path);
    await using _served = served;
    await query(url, 'create table kept as select 42 as answer');
    await expect(query(url, 'copy kept from stdin')).rejects.toThrow();
    await expect(served.ended).resolves.toMatchObject({
      code: 1,
      stderr: 'The embedded database has crashed. Start it again; what was committed is kept.\n',
    });

    const again = await serveEmbedded(folder.path);
    await using _again = again.served;
    await expect(query(again.url, 'select answer from kept')).resolves.toEqual([{ answer: 42 }]);
  });

  it('explains its arguments in one line', async () => {
    for (const args of [[], ['--data-dir', 'x', '--port', '70000'], ['--nonsense']]) {
      await using served = new BuiltProcess('database/serve-embedded.js', args);
      const { code, stderr } = await served.ended;
      expect(code).toBe(1);
      expect(stderr).toMatch(/^Usage: serve-embedded --data-dir <folder>.*\n$/);
    }
  });
});
