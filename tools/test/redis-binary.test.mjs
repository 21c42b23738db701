import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { obtainRedis } from '../redis-binary.mjs';
import { program } from './fixtures/programs.mjs';

let place, bin, cache;

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'redstart-redis-'));
  bin = join(place, 'bin');
  cache = join(place, 'cache');
  mkdirSync(bin);
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

const server = (path, version) => program(path, `echo "Redis server v=${version} sha=00000000:0"`);
const obtain = (env = {}) => obtainRedis({ env: { PATH: bin, ...env }, cache, usual: [] });

/** Debian's tools as far as we call them: the stubs log their calls, and the `.deb` is unpacked as a server of the given version. */
function fakeDebian({ version = '7.0.15', download = ':' } = {}) {
  const log = join(place, 'calls');
  program(
    join(bin, 'apt-get'),
    `echo "apt-get $*" >> ${log}\ncase "$*" in *download*) ${download}; : > fake.deb;; esac`,
  );
  program(join(bin, 'apt-cache'), 'exit 0');
  program(join(bin, 'dpkg-query'), 'exit 1');
  program(
    join(bin, 'dpkg-deb'),
    `/bin/mkdir -p "$3/usr/bin" "$3/usr/lib/x86_64-linux-gnu"
     printf '#!/bin/sh\\necho "Redis server v=${version} $LD_LIBRARY_PATH"\\n' > "$3/usr/bin/redis-server"
     /bin/chmod +x "$3/usr/bin/redis-server"`,
  );
  return log;
}

describe('which server is taken', () => {
  it('the one of REDIS_SERVER_BIN before any other', async () => {
    server(join(bin, 'redis-server'), '7.2.0');
    const chosen = server(join(place, 'mine'), '8.0.1');
    assert.deepEqual(await obtain({ REDIS_SERVER_BIN: chosen }), {
      bin: chosen,
      version: '8.0.1',
      title: 'Redis 8.0.1',
      source: 'REDIS_SERVER_BIN',
    });
  });

  it('a REDIS_SERVER_BIN that cannot be used is an error, and nothing else is taken silently', async () => {
    server(join(bin, 'redis-server'), '7.2.0');
    const missing = join(place, 'missing');
    await assert.rejects(obtain({ REDIS_SERVER_BIN: missing }), new RegExp(`${missing} is not an executable file`));
    const old = server(join(place, 'old'), '6.2.14');
    await assert.rejects(obtain({ REDIS_SERVER_BIN: old }), /version 6\.2\.14, and 7\.0 or newer is needed/);
  });

  it('redis-server on PATH, or valkey-server', async () => {
    const valkey = server(join(bin, 'valkey-server'), '8.1.0');
    assert.equal((await obtain()).bin, valkey);
    const redis = server(join(bin, 'redis-server'), '7.0.0');
    assert.equal((await obtain()).bin, redis);
  });

  it('not one that is too old or does not run', async () => {
    server(join(bin, 'redis-server'), '6.0.16');
    program(join(bin, 'valkey-server'), 'echo "not for this machine"; exit 126');
    const unpacked = server(join(cache, 'redis', 'redis-server'), '7.0.15');
    assert.equal((await obtain()).bin, unpacked);
  });
});

describe("the distribution's packages", { skip: process.platform !== 'linux' }, () => {
  it('are unpacked into the cache, with their libraries, and leave nothing else there', async () => {
    fakeDebian();
    const found = await obtain();
    assert.equal(found.bin, join(cache, 'redis', 'redis-server'));
    assert.deepEqual(readdirSync(cache), ['redis']);
    assert.deepEqual(await obtain(), { ...found, source: 'unpacked earlier' });
  });

  it('are looked up in lists of our own when the lists of the machine are absent', async () => {
    const log = fakeDebian({ download: 'case "$*" in *State::lists*) ;; *) exit 100;; esac' });
    assert.equal((await obtain()).version, '7.0.15');
    assert.ok(existsSync(log));
  });

  it('serve two commands that unpack at the same time', async () => {
    fakeDebian();
    const found = await Promise.all([obtain(), obtain(), obtain()]);
    assert.deepEqual(new Set(found.map((one) => one.bin)), new Set([join(cache, 'redis', 'redis-server')]));
    assert.deepEqual(readdirSync(cache), ['redis']);
  });

  it('replace what an interrupted command left, half a server and half a directory', async () => {
    fakeDebian();
    program(join(cache, 'redis', 'redis-server'), 'exit 1');
    mkdirSync(join(cache, 'redis.draft-999999999-1', 'root'), { recursive: true });
    assert.equal((await obtain()).version, '7.0.15');
    assert.deepEqual(readdirSync(cache), ['redis']);
  });

  it('are refused when they are too old', async () => {
    fakeDebian({ version: '6.0.16' });
    await assert.rejects(obtain(), /version 6\.0\.16/);
    assert.deepEqual(readdirSync(cache), []);
  });
});

describe('without any server', () => {
  it('says in a few lines what to do', async () => {
    await assert.rejects(obtain(), ({ message }) => {
      assert.match(message, /^No Redis server was found/);
      for (const way of ['apt-get install redis-server', 'brew install redis', 'REDIS_SERVER_BIN', 'REDIS_URL']) {
        assert.ok(message.includes(way), way);
      }
      assert.ok(message.split('\n').length <= 6);
      return true;
    });
  });

  it('says why the packages could not be had', async () => {
    fakeDebian({ download: 'echo "E: Unable to fetch some archives"; exit 100' });
    await assert.rejects(obtain(), /could not download redis-server: E: Unable to fetch some archives/);
  });
});
