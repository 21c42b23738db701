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

const start = async (...args: string[]) => {
  const child = await Child.start(library.entry, ...args);
  children.push(child);
  return child;
};
const withServer = async (...args: string[]) => {
  const child = await start(...args);
  return { child, pid: await eventually(() => child.serverPid, { within: 10_000 }) };
};
const nothingIsLeft = async (child: Child) => {
  await child.ended;
  await eventually(async () => {
    expect(await child.leftovers()).toEqual([]);
  });
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

  it('does so when it is killed at any moment of the start', async () => {
    for (const delays of [
      [0, 5, 10, 20],
      [2, 7, 14, 30],
    ]) {
      const all = await Promise.all(delays.map((delay) => start('killed-while-starting', String(delay))));
      await Promise.all(all.map(nothingIsLeft));
    }
  });
});
