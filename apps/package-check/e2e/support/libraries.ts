import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { npm } from './npm.js';
import { workspace } from './workspace.js';

/** `exports` of a library: per entry point its conditions, in order; a plain file has none. */
export type Exports = Readonly<Record<string, string | Readonly<Record<string, string>>>>;

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly exports: Exports;
  /** Commands, and the files that they run. */
  readonly bin?: Readonly<Record<string, string>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** Whatever of a library may be imported. */
export const entryPoints = (exports: Exports) => Object.keys(exports).filter((entry) => entry !== './package.json');

export const readManifest = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;

/** The manifests of all libraries of the workspace. */
export const libraries: readonly Manifest[] = readdirSync(join(workspace, 'libs')).map((folder) =>
  readManifest(join(workspace, 'libs', folder)),
);

/** Packs every library as `npm publish` would, and resolves with the path of each tarball by the library's name. */
export async function packLibraries(destination: string): Promise<ReadonlyMap<string, string>> {
  const asked = libraries.map(({ name }) => `--workspace=${name}`);
  const { code, stdout, stderr } = await npm(
    ['pack', '--json', `--pack-destination=${destination}`, ...asked],
    workspace,
  );
  if (code !== 0) throw new Error(`npm pack has failed:\n${stderr}`);
  const packed = JSON.parse(stdout) as { name: string; filename: string }[];
  return new Map(packed.map(({ name, filename }) => [name, join(destination, filename)]));
}
