import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@redstart/redis-testing';
import { workspace } from './support/markdown.js';
import { MARK, ownProcesses } from './support/own-processes.js';
import { plainEnvironment, Running } from './support/running.js';

const onLinux = process.platform === 'linux';
const data = join(workspace, '.cache', 'demo');
const dataFolders = () => (existsSync(data) ? readdirSync(data) : []);

/** The command, its guardian, and what it runs. */
const programs = ['run.mjs', 'guardian.mjs', 'redis-server', 'serve-embedded.js', 'main.js'];

/** `npm run demo`, with what finds everything that it has started, and its data. */
function startDemo(environment: NodeJS.ProcessEnv = {}) {
  const mark = randomUUID();
  const foldersBefore = dataFolders();
  const env = plainEnvironment({ DEMO_SECONDS: '5', [MARK]: mark, ...environment });
  const { REDIS_SERVER_BIN } = process.env;
  if (REDIS_SERVER_BIN !== undefined) env['REDIS_SERVER_BIN'] = REDIS_SERVER_BIN;
  const running = new Running('npm', ['run', '--silent', 'demo'], { cwd: workspace, env });
  return {
    running,
    processes: () => (onLinux ? ownProcesses(mark, data) : []),
    folders: () => dataFolders().filter((name) => !foldersBefore.includes(name)),
  };
}

describe('npm run demo', () => {
  it('sends traffic over everything, sums up what each library did, and leaves nothing behind', async () => {
    // Servers of the user's, that do not even exist: the demo has its own.
    const { running, processes, folders } = startDemo({
      REDIS_URL: 'redis://127.0.0.1:1',
      DATABASE_URL: 'postgres://127.0.0.1:1/x',
    });
    await using demo = running;

    await demo.printed(/^searching /m, 100_000);
    expect(folders()).toHaveLength(1);
    for (const program of onLinux ? programs : []) {
      expect(processes()).toContainEqual(expect.stringContaining(program));
    }

    const code = await demo.ended;
    expect({ code, output: demo.output }).toEqual({
      code: 0,
      output: expect.stringMatching(/^Everything that should happen has happened\.$/m) as string,
    });
    for (const scene of ['searching', 'reading', 'rush', 'booking', 'outage', 'tickets']) {
      expect(demo.output).toMatch(new RegExp(`^${scene} +\\d`, 'm'));
    }
    for (const [library, did] of [
      ['redis-cache', 'hits'],
      ['redis-ratelimit', 'searches let through'],
      ['redis-lock', 'seats that several wanted at once'],
      ['redis-streams', 'messages published'],
      ['redis-core', 'operations'],
    ]) {
      expect(demo.output).toMatch(new RegExp(`^${String(library)} +${String(did)}.* [1-9][\\d,]*$`, 'm'));
    }
    for (const did of ['loads', 'waits', 'searches denied', 'refused: somebody else']) {
      expect(demo.output).toMatch(new RegExp(`^.* ${did}.* [1-9][\\d,]*$`, 'm'));
    }
    expect(demo.output).toMatch(/^ +retries: .* [\d,]+$/m); // None, when nothing has failed.
    expect(demo.output).not.toContain('\u001B');
    expect(processes()).toEqual([]);
    expect(folders()).toEqual([]);
  });

  it('leaves no process behind when it is killed, and its data to the next run, which ends at once on Ctrl-C', async () => {
    const killed = startDemo({ DEMO_SECONDS: '120' });
    await using _killed = killed.running;
    await killed.running.printed(/starting Redis/);
    const [leftover] = killed.folders();
    killed.running.child.kill('SIGKILL');
    await eventually(() => killed.processes().length === 0, { within: 30_000 });
    expect(dataFolders()).toContain(leftover);

    const { running, processes, folders } = startDemo({ DEMO_SECONDS: '120' });
    await using demo = running;
    await eventually(() => folders().length === 1, { within: 60_000 });
    expect(dataFolders()).not.toContain(leftover);
    await demo.printed(/starting Redis/);
    if (onLinux) await eventually(() => processes().some((line) => line.includes('main.js')), { within: 60_000 });
    demo.child.kill('SIGINT');

    expect(await demo.ended).toBe(130);
    expect(demo.output).not.toContain('has happened');
    expect(processes()).toEqual([]);
    expect(folders()).toEqual([]);
  });

  it.each(['3', '301', '5s', '-5'])('refuses to go on for %j seconds', async (DEMO_SECONDS) => {
    await using demo = startDemo({ DEMO_SECONDS }).running;
    expect(await demo.ended).toBe(1);
    expect(demo.output.trim()).toBe('DEMO_SECONDS must be an integer from 4 to 300.');
  });
});
