import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Instance } from './instance.js';

/** What is read of a library's package.json. */
interface Manifest {
  readonly name: string;
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** The condition under which a library of a workspace leads to its sources. */
const sourceCondition = '@redstart/source';
const ours = '@redstart/';

/** Programs of a library's specs as plain JavaScript, to be run by Node itself. */
export class Programs implements AsyncDisposable {
  readonly #folder: string;
  readonly #name: string;

  private constructor(folder: string, name: string) {
    this.#folder = folder;
    this.#name = name;
  }

  /**
   * Compiles some folders of a library, and the sources under them: its own, and those of the workspace's libraries that it depends on, which are its siblings. Once for all processes, which then start
   * without compiling, and from the sources, not from a build: so what is tested is what is there. Takes about half a second. Needs `@swc/core`.
   *
   * @param library the folder of the library
   * @param folders below it, e.g. `test/processes`
   */
  static async compile(library: string, ...folders: string[]): Promise<Programs> {
    const parent = join(library, 'out-tsc');
    await mkdir(parent, { recursive: true });
    // Below the library, so that Node finds everything else where the library finds it.
    const programs = new Programs(await mkdtemp(join(parent, 'programs-')), basename(library));
    try {
      await programs.#compile(library, ['src', ...folders]);
    } catch (error) {
      await programs[Symbol.asyncDispose]();
      throw error;
    }
    return programs;
  }

  /** Where a program is. @param name as below the library, without an extension: `test/processes/worker` */
  script(name: string): string {
    return join(this.#folder, this.#name, `${name}.js`);
  }

  /** Starts a program. @param options what it finds by `givenOptions` */
  start(name: string, options: object): Instance {
    return new Instance(this.script(name), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }

  async #compile(library: string, folders: string[]): Promise<void> {
    const modules = join(this.#folder, 'node_modules');
    await Promise.all([
      ...folders.map((name) => compileFolder(join(library, name), join(this.#folder, this.#name, name))),
      ...(await siblingsOf(library)).map((sibling) => compileLibrary(sibling, modules)),
    ]);
    // As the specs themselves do it by their configuration.
    if (process.env['REDSTART_IOREDIS'] !== '5') return;
    await mkdir(modules, { recursive: true });
    await symlink(join(library, '..', '..', 'node_modules', 'ioredis-5'), join(modules, 'ioredis'));
  }
}

/** The folders of the workspace's libraries under a library, its own not among them. */
async function siblingsOf(library: string, found = new Set<string>()): Promise<string[]> {
  const { dependencies, peerDependencies, devDependencies } = await manifestOf(library);
  for (const name of Object.keys({ ...dependencies, ...peerDependencies, ...devDependencies })) {
    const sibling = join(library, '..', name.slice(ours.length));
    if (!name.startsWith(ours) || found.has(sibling)) continue;
    found.add(sibling);
    await siblingsOf(sibling, found);
  }
  return [...found].filter((folder) => folder !== library);
}

async function compileLibrary(library: string, modules: string): Promise<void> {
  const { name, exports = {} } = await manifestOf(library);
  const folder = join(modules, name);
  await compileFolder(join(library, 'src'), folder);
  const entries = Object.entries(exports).flatMap(([entry, target]) => {
    const source = typeof target === 'string' ? undefined : target[sourceCondition];
    return source === undefined ? [] : [[entry, source.replace('./src/', './').replace(/\.ts$/, '.js')]];
  });
  await writeFile(
    join(folder, 'package.json'),
    JSON.stringify({ name, type: 'module', exports: Object.fromEntries(entries) as unknown }),
  );
}

async function manifestOf(library: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(library, 'package.json'), 'utf8')) as Manifest;
}

async function compileFolder(from: string, to: string): Promise<void> {
  const files = await readdir(from, { recursive: true });
  // Only whoever compiles needs it: the programs themselves import this file, too.
  const { transform } = await import('@swc/core');
  const sources = files.filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'));
  await mkdir(to, { recursive: true });
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
