import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, it } from 'node:test';

const MODULE = new URL('../demo/run-folder.mjs', import.meta.url);
const PROGRAM = `
  const { makeRunFolder } = await import(${JSON.stringify(MODULE.href)});
  process.on('SIGTERM', () => process.exit());
  console.log(makeRunFolder(process.argv[1]));
  setInterval(() => {}, 1000);`;

let parent;
beforeEach(() => (parent = mkdtempSync(join(tmpdir(), 'redstart-demo-'))));
afterEach(() => rmSync(parent, { recursive: true }));

/** A process that makes a folder for its data and writes to it. */
async function startRun() {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, parent], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [folder] = await once(createInterface({ input: child.stdout }), 'line');
  writeFileSync(join(folder, 'data'), 'bookings');
  const end = async (signal) => {
    child.kill(signal);
    await once(child, 'exit');
  };
  return { folder, end };
}

describe('the data of a run of the demo', () => {
  it('goes when the run ends', async () => {
    const run = await startRun();
    assert.equal(existsSync(join(run.folder, 'data')), true);
    await run.end('SIGTERM');
    assert.equal(existsSync(run.folder), false);
  });

  it('is removed by the next run when its own was killed, but not while it runs; and nothing else is', async () => {
    mkdirSync(join(parent, 'somebody-elses'));
    const killed = await startRun();
    await killed.end('SIGKILL');
    assert.equal(existsSync(killed.folder), true);

    const running = await startRun();
    const next = await startRun();
    assert.deepEqual(
      readdirSync(parent)
        .map((name) => join(parent, name))
        .toSorted(),
      [running.folder, next.folder, join(parent, 'somebody-elses')].toSorted(),
    );
    await running.end('SIGTERM');
    await next.end('SIGTERM');
    assert.deepEqual(readdirSync(parent), ['somebody-elses']);
  });
});
