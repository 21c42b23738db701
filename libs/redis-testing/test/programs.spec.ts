import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../src/index.js';
import { OrderedProcess, Programs } from '../src/programs/index.js';
import type { ProgramOrder } from './programs/obedient-program.js';

let programs: Programs;
beforeAll(async () => {
  programs = await Programs.compile(join(import.meta.dirname, '..'), 'test/programs');
}, 60_000);
afterAll(() => programs[Symbol.asyncDispose]());

const isRunning = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('Programs', () => {
  it('compiles a folder once, and leaves nothing behind', async () => {
    const others = await Programs.compile(join(import.meta.dirname, '..'), 'test/programs');
    const script = others.script('test/programs/echo-program');
    expect(existsSync(script)).toBe(true);
    await others[Symbol.asyncDispose]();
    expect(existsSync(script)).toBe(false);
  });

  it('leaves nothing behind when there is no such folder', async () => {
    await expect(Programs.compile(join(import.meta.dirname, '..'), 'test/nowhere')).rejects.toThrow('nowhere');
  });

  it('starts a program, which is given its options, tells what happens, and hears what it is told', async () => {
    await using one = programs.start('test/programs/echo-program', { greeting: 'hello' });
    const ready = await one.tells('ready');
    expect(ready).toMatchObject({ greeting: 'hello' });
    one.send('and now?');
    expect(await one.tells('heard')).toMatchObject({ message: 'and now?' });
    expect(one.told('heard')).toHaveLength(1);
    await one.kill();
    expect(isRunning(Number(ready['pid']))).toBe(false);
  });

  it('tells why a program does not say what is waited for', async () => {
    await using one = programs.start('test/programs/nothing', {});
    await expect(one.tells('ready')).rejects.toThrow(/has ended: [^]*Cannot find module/);
  });
});

describe('OrderedProcess', () => {
  const start = () =>
    new OrderedProcess<ProgramOrder>('p1', programs.script('test/programs/obedient-program'), 'hello');

  it('carries out orders, and tells which ones failed', async () => {
    const one = start();
    await one.do({ order: 'work' });
    await expect(one.do({ order: 'fail' })).rejects.toThrow('p1 can not, hello');
    await one.do({ order: 'work' });
    expect(one.complaints).toEqual([]);
    await one.kill();
    expect(one.alive).toBe(false);
    // It was told to end.
    expect(one.complaints).toEqual([]);
  });

  it('complains of a rejection that nobody handled, and of an end that nobody ordered', async () => {
    const [one, other] = [start(), start()];
    await one.do({ order: 'reject' });
    await eventually(() => !one.alive);
    expect(one.complaints.join('\n')).toMatch(/nobody handles this[^]*p1 ended by itself/);
    await expect(other.do({ order: 'leave' })).rejects.toThrow('p1 has ended');
    expect(other.complaints).toEqual([expect.stringContaining('p1 ended by itself')]);
  });

  it('stands still while it is frozen, and goes on', async () => {
    const one = start();
    await one.do({ order: 'work' });
    one.freeze();
    let done = false;
    const working = one.do({ order: 'work' }).then(() => {
      done = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(done).toBe(false);
    one.thaw();
    await working;
    await one.kill();
  });
});
