import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isListening, startDirectly, startThroughNpm, survivors } from './fixtures/start.mjs';

async function leavesNothing(started) {
  assert.deepEqual(await survivors(started), []);
  assert.equal(await isListening(started), false);
}

describe('a command leaves no process and no port behind', { concurrency: 2 }, () => {
  it('when its job ends, although a grandchild is deaf to SIGTERM', async () => {
    const started = await startDirectly('leave');
    assert.equal(await started.exited, 3);
    await leavesNothing(started);
  });

  it('when it is asked to end', async () => {
    const started = await startDirectly();
    assert.equal(await isListening(started), true);
    process.kill(started.command, 'SIGTERM');
    assert.equal(await started.exited, 143);
    await leavesNothing(started);
  });

  it('when it is killed with SIGKILL', async () => {
    const started = await startDirectly();
    process.kill(started.command, 'SIGKILL');
    await leavesNothing(started);
  });

  it('when its job was killed before it, and the grandchild has no living parent', async () => {
    const started = await startDirectly();
    process.kill(started.job, 'SIGKILL');
    process.kill(started.command, 'SIGKILL');
    await leavesNothing(started);
  });

  it('when its guardian was killed first', async () => {
    const started = await startDirectly();
    const another = started.nextLine();
    process.kill(started.guardian, 'SIGKILL');
    const { guardian } = JSON.parse(await another); // the command notices and starts another
    assert.notEqual(guardian, started.guardian);
    process.kill(started.command, 'SIGKILL');
    await leavesNothing(started);
  });

  it('when Ctrl-C reaches npm and everybody in its process group', async () => {
    const started = await startThroughNpm();
    process.kill(-started.child.pid, 'SIGINT');
    await leavesNothing(started);
  });

  it('when only npm gets SIGINT', async () => {
    const started = await startThroughNpm();
    process.kill(started.child.pid, 'SIGINT');
    assert.equal(await started.exited, 130);
    await leavesNothing(started);
  });

  it('when only npm gets SIGTERM', async () => {
    const started = await startThroughNpm();
    process.kill(started.child.pid, 'SIGTERM');
    await leavesNothing(started);
  });

  it('when npm is killed with SIGKILL', async () => {
    const started = await startThroughNpm();
    process.kill(started.child.pid, 'SIGKILL');
    await leavesNothing(started);
  });

  it('when npm is killed with SIGKILL and its shell stays', async () => {
    const started = await startThroughNpm({ shellStays: true });
    process.kill(started.child.pid, 'SIGKILL');
    await leavesNothing(started);
  });
});
