import { cp, writeFile } from 'node:fs/promises';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readManifest } from './libraries.js';
import { npm, whyUnreachable } from './npm.js';
import { type Outcome, run } from './run.js';
import { fixtures } from './workspace.js';

const COMPILED_WITHIN_MS = 120_000;

/** The application of the fixtures, on the versions that one of their manifests names. */
export interface Installation {
  readonly folder: string;
  readonly installed: Outcome;
  readonly compiled: Outcome | undefined;
  /** Why it could not be installed, when that says nothing about the packages. */
  readonly unreachable: string | undefined;
}

/**
 * Installs the tarballs into an application of its own, and compiles it there.
 *
 * Peer ranges are taken at their word: npm refuses a package that does not allow the versions of the manifest.
 */
export async function install(
  manifest: string,
  tarballs: ReadonlyMap<string, string>,
  parent: string,
): Promise<Installation> {
  const folder = join(parent, manifest);
  await cp(join(fixtures, 'application'), folder, { recursive: true });
  const { dependencies, ...rest } = readManifest(join(fixtures, manifest));
  const ours = [...tarballs].map(([name, file]) => [name, `file:${file}`] as const);
  const complete = { ...rest, dependencies: { ...dependencies, ...Object.fromEntries(ours) } };
  await writeFile(join(folder, 'package.json'), JSON.stringify(complete));

  const options = ['--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', '--strict-peer-deps'];
  const installed = await npm(['install', ...options, '--loglevel=error'], folder);
  const unreachable = installed.code === 0 ? undefined : await whyUnreachable();
  const compiled = installed.code === 0 ? await compile(folder) : undefined;
  return { folder, installed, compiled, unreachable };
}

/** With the application's own compiler, which reads the declarations of all packages, too. */
function compile(folder: string): Promise<Outcome> {
  const tsc = join(folder, 'node_modules/typescript/bin/tsc');
  return run(process.execPath, [tsc, '--project', '.'], { cwd: folder, env: {}, within: COMPILED_WITHIN_MS });
}

/** The packages of ours that the application imports. */
export function importedLibraries(): string[] {
  const root = join(fixtures, 'application');
  const sources = ['src', 'test'].flatMap((part) =>
    readdirSync(join(root, part)).map((file) => join(root, part, file)),
  );
  const imports = sources.flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/from '(@redstart\/[\w-]+)/g)]);
  return [...new Set(imports.map(([, name = '']) => name))].toSorted();
}
