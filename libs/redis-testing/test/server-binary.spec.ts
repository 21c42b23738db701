import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { RedisServer, ServerBinaryError } from '../src/index.js';
import { findServerBinary } from '../src/server/server-binary.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'redis-testing-spec-'));
});
afterEach(() => rm(root, { recursive: true }));

const file = async (mode: number, ...path: string[]) => {
  const full = join(root, ...path);
  await mkdir(dirname(full), { recursive: true });
  await writeFile(full, '#!/bin/sh\n');
  await chmod(full, mode);
  return full;
};
const executable = (...path: string[]) => file(0o755, ...path);
const look = (env: NodeJS.ProcessEnv, explicit?: string, cwd = root) =>
  findServerBinary(explicit, { env, cwd, usualDirectories: [] });

describe('the server to start', () => {
  it('is the one given, before REDIS_SERVER_BIN, before the PATH, before the unpacked one', async () => {
    const explicit = await executable('given');
    const fromEnv = await executable('env');
    const onPath = await executable('bin', 'redis-server');
    const unpacked = await executable('.cache', 'redis', 'redis-server');
    const env = { REDIS_SERVER_BIN: fromEnv, PATH: join(root, 'bin') };
    expect(look(env, explicit)).toBe(explicit);
    expect(look(env)).toBe(fromEnv);
    expect(look({ PATH: env.PATH })).toBe(onPath);
    expect(look({ PATH: '' })).toBe(unpacked);
  });

  it('may be Valkey', async () => {
    const valkey = await executable('bin', 'valkey-server');
    expect(look({ PATH: join(root, 'bin') })).toBe(valkey);
  });

  it('is unpacked in the nearest folder above the working directory', async () => {
    await executable('.cache', 'redis', 'redis-server');
    const nearer = await executable('libs', '.cache', 'redis', 'redis-server');
    expect(look({}, undefined, join(root, 'libs', 'redis-lock', 'test'))).toBe(nearer);
  });

  it('is never a file that cannot be executed', async () => {
    await file(0o644, 'bin', 'redis-server');
    expect(() => look({ PATH: join(root, 'bin') })).toThrow(ServerBinaryError);
  });

  it('is not taken from elsewhere when the one asked for is missing', async () => {
    await executable('bin', 'redis-server');
    const env = { PATH: join(root, 'bin'), REDIS_SERVER_BIN: join(root, 'nowhere') };
    expect(() => look(env)).toThrow(/nowhere, named by REDIS_SERVER_BIN, is not an executable file/);
  });

  it('is missed with an error that says what to do, even when REDIS_URL is set', () => {
    const find = () => look({ REDIS_URL: 'redis://127.0.0.1:6379' });
    expect(find).toThrow(ServerBinaryError);
    expect(find).toThrow(/Install one[^]*REDIS_SERVER_BIN[^]*npm test/);
  });

  it('fails RedisServer.start when it does not exist', async () => {
    await expect(RedisServer.start({ bin: join(root, 'nowhere') })).rejects.toThrow(ServerBinaryError);
  });
});
