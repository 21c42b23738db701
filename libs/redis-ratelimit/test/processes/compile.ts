import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { transform } from '@swc/core';

const library = join(import.meta.dirname, '..', '..');
const core = join(library, '..', 'redis-core');
const rootModules = join(library, '..', '..', 'node_modules');

/** Programs of this suite as plain JavaScript, to be run by Node itself. */
export interface Programs extends AsyncDisposable {
  /** @param name a file beside this one, without its extension */
  path(name: string): string;
}

/**
 * Compiles the programs beside this file and the sources of the libraries under them. From the sources, not from a build: so what is tested is what is there.
 */
export async function compilePrograms(): Promise<Programs> {
  const parent = join(library, 'out-tsc');
  await mkdir(parent, { recursive: true });
  // Below the library, so that Node finds everything else where the library finds it.
  const folder = await mkdtemp(join(parent, 'processes-'));
  const remove = () => rm(folder, { recursive: true });
  try {
    await compileInto(folder);
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    path: (name) => join(folder, 'redis-ratelimit', 'test', 'processes', `${name}.js`),
    [Symbol.asyncDispose]: remove,
  };
}

async function compileInto(folder: string): Promise<void> {
  const modules = join(folder, 'node_modules');
  await Promise.all([
    compileFolder(join(core, 'src'), join(modules, '@redstart', 'redis-core')),
    compileFolder(join(library, 'src'), join(folder, 'redis-ratelimit', 'src')),
    compileFolder(import.meta.dirname, join(folder, 'redis-ratelimit', 'test', 'processes')),
  ]);
  await writeFile(
    join(modules, '@redstart', 'redis-core', 'package.json'),
    JSON.stringify({ type: 'module', exports: './index.js' }),
  );
  // As the other specs do it by their configuration.
  if (process.env['REDSTART_IOREDIS'] === '5') await symlink(join(rootModules, 'ioredis-5'), join(modules, 'ioredis'));
}

async function compileFolder(from: string, to: string): Promise<void> {
  const files = await readdir(from, { recursive: true });
  const sources = files.filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'));
  await Promise.all(
    sources.map(async (file) => {
      const { code } = await transform(await readFile(join(from, file), 'utf8'), {
        swcrc: false,
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          keepClassNames: true,
        },
        module: { type: 'es6' },
      });
      const target = join(to, file.replace(/\.ts$/, '.js'));
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, code);
    }),
  );
}
