import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../src/index.js';
import { Child, compileLibrary } from './support/child.js';
import { exists } from './support/observe.js';

let library: Awaited<ReturnType<typeof compileLibrary>>;
const children: Child[] = [];
beforeAll(async () => {
  library = await compileLibrary();
});
afterAll(async () => {
  await Promise.all(children.map((child) => child.remove()));
  await library.remove();
});

const start = async (args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
  const child = await Child.start(library.entry, args, env);
  children.push(child);
  return child;
};
const withServer = async (...args: string[]) => {
  const child = await start(args);
  return { child, pid: await eventually(() => child.serverPid, { within: 40_000 }) };
};
const nothingIsLeft = async (child: Child) => {
  await child.ended;
  await eventually(
    async () => {
      expect(await child.leftovers()).toEqual([]);
    },
    { within: 40_000 },
  );
};

describe('a process that never calls stop()', () => {
  it('takes its server and folder along when it is killed with SIGKILL', async () => {
    const { child, pid } = await withServer('killed');
    expect(exists(pid)).toBe(true);
    expect(await child.leftovers()).not.toEqual([]); // so the check below can fail
    child.process.kill('SIGKILL');
    await nothingIsLeft(child);
    expect(exists(pid)).toBe(false);
  });

  it('does so when its whole process group is killed', async () => {
    const { child, pid } = await withServer('killed');
    process.kill(-(child.process.pid ?? NaN), 'SIGKILL');
    await nothingIsLeft(child);
    expect(exists(pid)).toBe(false);
  });

  it('does so when the server was paused', async () => {
    const { child, pid } = await withServer('killed-while-paused');
    child.process.kill('SIGKILL');
    await nothingIsLeft(child);
    expect(exists(pid)).toBe(false);
  });

  it.each(['returns', 'exits', 'throws'])('does so when it %s', async (ending) => {
    const { child, pid } = await withServer(ending);
    await nothingIsLeft(child); // 'returns' ends at all only because the server does not keep the process alive
    expect(exists(pid)).toBe(false);
  });

  it('does so when it is killed while the server is starting', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'redis-testing-spec-'));
    try {
      const slow = join(folder, 'slow-server');
      // Nobody ever opens the other end: it is still starting whenever this process gets to kill it.
      await writeFile(slow, `#!/bin/sh\nmkfifo "${folder}/gate"\nread -r _ < "${folder}/gate"\n`, { mode: 0o755 });
      const child = await start(['killed'], { REDIS_SERVER_BIN: slow });
      const isStarting = async () => (await child.leftovers()).some((line) => line.includes(`/bin/sh ${slow}`));
      await eventually(isStarting, { within: 40_000, every: 5 });
      child.process.kill('SIGKILL');
      expect(() => child.serverPid).toThrow(); // it was not ready
      await nothingIsLeft(child);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.each([
    [0, 8, 16, 24],
    [4, 12, 20, 40],
  ])('does so when it is killed %i, %i, %i or %i ms after the call of start()', async (...delays) => {
    const all = await Promise.all(delays.map((delay) => start(['killed-while-starting', String(delay)])));
    await Promise.all(all.map(nothingIsLeft));
  });
});
