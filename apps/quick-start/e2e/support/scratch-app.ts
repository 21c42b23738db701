import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { workspace } from './markdown.js';
import { Running, plainEnvironment } from './running.js';

/** As the Nest CLI writes it for an application in ES modules. */
const tsconfig = {
  compilerOptions: {
    module: 'nodenext',
    moduleResolution: 'nodenext',
    target: 'ES2023',
    lib: ['ES2023', 'ESNext.Disposable'],
    strict: true,
    esModuleInterop: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    isolatedModules: true,
    skipLibCheck: true,
    types: ['node'],
    rootDir: 'src',
    outDir: 'dist',
  },
  include: ['src'],
};

/**
 * An application of a user's, for the time of a test: a folder in the workspace, so that it finds the built packages where a user's application
 * finds the installed ones.
 */
export class ScratchApp implements AsyncDisposable {
  private constructor(readonly path: string) {}

  /** @param sources the files of `src` */
  static async create(sources: Record<string, string>, options: { types?: string[] } = {}): Promise<ScratchApp> {
    const parent = join(import.meta.dirname, '../../.cache');
    await mkdir(parent, { recursive: true });
    const app = new ScratchApp(await mkdtemp(join(parent, 'app-')));
    const compilerOptions = { ...tsconfig.compilerOptions, ...options };
    await app.#write('package.json', JSON.stringify({ name: 'hello', private: true, type: 'module' }));
    await app.#write('tsconfig.json', JSON.stringify({ ...tsconfig, compilerOptions }));
    for (const [name, source] of Object.entries(sources)) await app.#write(`src/${name}`, source);
    return app;
  }

  /** Compiles it. @returns what the compiler complains of, line by line */
  async compile(): Promise<string[]> {
    const compiler = join(workspace, 'node_modules', 'typescript', 'bin', 'tsc');
    const args = [compiler, '--project', this.path, '--pretty', 'false'];
    await using tsc = new Running(process.execPath, args, { cwd: this.path, env: plainEnvironment() });
    const code = await tsc.ended;
    const complaints = tsc.output.split('\n').filter((line) => line !== '');
    if ((code === 0) !== (complaints.length === 0)) throw new Error(`tsc ended with ${code}:\n${tsc.output}`);
    return complaints;
  }

  /** Runs its compiled `main.ts`. */
  run(environment: NodeJS.ProcessEnv, nodeArguments: readonly string[] = []): Running {
    const env = plainEnvironment({ NO_COLOR: '1', ...environment });
    return new Running(process.execPath, [...nodeArguments, 'dist/main.js'], { cwd: this.path, env });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  async #write(name: string, content: string): Promise<void> {
    const path = join(this.path, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}
