import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { SetupError } from '../errors.mjs';
import { obtainServer } from '../servers.mjs';
import { capture } from '../spawn.mjs';
import { program } from './fixtures/programs.mjs';

let place, apt, cache, log;

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'redstart-servers-'));
  apt = join(place, 'etc');
  cache = join(place, 'cache');
  log = join(place, 'calls');
  mkdirSync(join(apt, 'sources.list.d'), { recursive: true });
  writeFileSync(join(apt, 'sources.list'), 'deb [signed-by=/key.gpg] http://127.0.0.1:9/debian bookworm main\n');
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

const obtain = (name) => obtainServer(name, { env: { PATH: `${join(place, 'bin')}:/usr/bin:/bin` }, cache, apt });
const calls = () => readFileSync(log, 'utf8').trimEnd().split('\n');
const inCache = () => readdirSync(join(cache, 'servers'));

/**
 * A release of Debian on this disk: its packages are folders, apt-get "downloads" one by copying it, and dpkg-deb unpacks by copying as well. The C library's
 * loader is a script that says with which libraries it runs the server, then does so.
 */
function release({ server = 'valkey-server', answer = 'Valkey server v=9.1.2 sha=00000000:0', download = '' } = {}) {
  const pool = join(place, 'pool');
  const tools = server.replace('-server', '-tools');
  program(
    join(pool, tools, 'usr/bin', server),
    `case $1 in --version) echo "${answer}";; *) echo "runs with $*";; esac`,
  );
  mkdirSync(join(pool, server, 'etc'), { recursive: true });
  program(
    join(pool, 'libc6', 'usr/lib/x86_64-linux-gnu', 'ld-linux-x86-64.so.2'),
    '[ "$1" = --library-path ] || exit 127; echo "libraries: $2" >&2; shift 2; exec "$@"',
  );
  mkdirSync(join(pool, 'libssl3', 'usr/lib/x86_64-linux-gnu'), { recursive: true });
  writeFileSync(join(pool, 'libssl3', 'usr/lib/x86_64-linux-gnu', 'libssl.so.3'), '');
  program(
    join(place, 'bin', 'apt-get'),
    `echo "apt-get $*" >> "${log}"
     for word; do case $word in Dir::Etc::sourceparts=*) cat "\${word#*=}"/* >> "${log}";; esac; done
     case " $* " in *" download "*) ${download}
       while [ "$1" != download ]; do shift; done; shift
       for name; do cp -R "${pool}/$name" "$name.deb"; done;; esac`,
  );
  // What a package needs, its own needs one level further down.
  program(
    join(place, 'bin', 'apt-cache'),
    `for name; do case $name in
       ${tools}) printf '%s\\n' "${tools}" "  Depends: libssl3" "  Depends: adduser";;
       libssl3) printf '%s\\n' "libssl3" "  PreDepends: libc6";;
     esac; done`,
  );
  program(join(place, 'bin', 'dpkg-deb'), 'mkdir -p "$3" && cp -R "$2/." "$3"');
}

describe('a server of another Debian release', { skip: process.platform !== 'linux' }, () => {
  it('is unpacked with every library below it, and runs by the C library that came along', async () => {
    release();
    const { bin, title } = await obtain('valkey-9');
    assert.equal(title, 'Valkey 9.1.2');
    assert.equal(bin, join(cache, 'servers', 'valkey-9', 'redis-server'));
    assert.deepEqual(inCache(), ['valkey-9']);
    const { output } = await capture(bin, ['--port', '0']);
    assert.match(output, /^libraries: \/.*\/valkey-9\/root\/usr\/lib\/x86_64-linux-gnu$/m);
    assert.match(output, /^runs with --port 0$/m);
    const downloads = calls().filter((line) => line.includes(' download '));
    assert.match(downloads.join(), / download valkey-server valkey-tools libssl3 libc6$/);
  });

  it("comes from its release, at the machine's own mirror", async () => {
    release();
    await obtain('valkey-8');
    assert.ok(
      calls().includes('URIs: http://127.0.0.1:9/debian') && calls().includes('Suites: bookworm bookworm-backports'),
    );
    assert.match(calls()[0], /-o APT::Default-Release=bookworm-backports update$/);
    writeFileSync(join(apt, 'sources.list'), '');
    writeFileSync(join(apt, 'sources.list.d', 'debian.sources'), 'Types: deb\nURIs: http://127.0.0.1:8/debian/\n');
    await obtain('valkey-9');
    assert.ok(calls().includes('URIs: http://127.0.0.1:8/debian') && calls().includes('Suites: forky'));
  });

  it('is not fetched again, and one that no longer runs is', async () => {
    release();
    const { bin } = await obtain('valkey-9');
    const before = calls().length;
    assert.equal((await obtain('valkey-9')).title, 'Valkey 9.1.2');
    assert.equal(calls().length, before);
    program(bin, 'exit 126');
    assert.equal((await obtain('valkey-9')).title, 'Valkey 9.1.2');
    assert.ok(calls().length > before);
  });

  it('serves two commands that unpack it at the same time', async () => {
    release({ server: 'redis-server', answer: 'Redis server v=8.0.2 sha=00000000:0' });
    const found = await Promise.all([obtain('redis-8'), obtain('redis-8'), obtain('redis-8')]);
    assert.deepEqual(new Set(found.map(({ title }) => title)), new Set(['Redis 8.0.2']));
    assert.deepEqual(inCache(), ['redis-8']);
  });
});

describe('a server that cannot be had', { skip: process.platform !== 'linux' }, () => {
  const refused = (reason) => (error) => {
    assert.ok(error instanceof SetupError);
    assert.match(error.message, reason);
    assert.match(
      error.message,
      /\nPut a server, or a script that runs one, at .*valkey-9\/redis-server, or leave valkey-9 out\.$/,
    );
    assert.deepEqual(inCache(), []);
    return true;
  };

  it('says which program has failed, and leaves nothing behind', async () => {
    release({ download: 'echo "W: a warning"; echo "E: Unable to fetch some archives"; exit 100;' });
    await assert.rejects(
      obtain('valkey-9'),
      refused(/^valkey-9 could not be obtained: apt-get download has failed: E: Unable to fetch some archives\./),
    );
  });

  it('says why the unpacked one does not run', async () => {
    release({ answer: 'version GLIBC_2.43 not found' });
    await assert.rejects(obtain('valkey-9'), refused(/the unpacked server does not run: .*/));
  });

  it('says that the machine knows no mirror', async () => {
    release();
    writeFileSync(join(apt, 'sources.list'), '# none\n');
    await assert.rejects(obtain('valkey-9'), refused(/this machine has no source of Debian's packages/));
    assert.equal(existsSync(log), false);
  });

  it('can be put there by hand', async () => {
    program(join(cache, 'servers', 'valkey-9', 'redis-server'), 'echo "Server v=9.9.9 (valkey)"');
    assert.equal((await obtain('valkey-9')).title, 'Valkey 9.9.9');
    assert.equal(existsSync(log), false);
  });
});
