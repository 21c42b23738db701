import { readFile } from 'node:fs/promises';
import { type Analysis, checkPackage, createPackageFromTarballData, type Package } from '@arethetypeswrong/core';
import { type Message, publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { entryPoints, libraries, type Manifest, packLibraries } from './support/libraries.js';
import { TemporaryFolder } from './support/temporary-folder.js';

/** Resolves to the sources, which are not in the tarball: it is for the specs and the editor of this workspace alone. */
const OWN_CONDITION = '@redstart/source';

let folder: TemporaryFolder;
let tarballs: ReadonlyMap<string, string>;
beforeAll(async () => {
  folder = await TemporaryFolder.create();
  tarballs = await packLibraries(folder.path);
});
afterAll(() => folder.remove());

describe.each(libraries)('the tarball of $name', ({ name }) => {
  let bytes: Uint8Array<ArrayBuffer>;
  let unpacked: Package;
  let manifest: Manifest;
  let files: string[];
  beforeAll(async () => {
    bytes = new Uint8Array(await readFile(tarballs.get(name) ?? ''));
    unpacked = createPackageFromTarballData(bytes);
    const root = `/node_modules/${name}/`;
    manifest = JSON.parse(unpacked.readFile(`${root}package.json`)) as Manifest;
    files = unpacked.listFiles().map((path) => path.slice(root.length));
  });

  it('holds what was built, the manifest, the README and the licence, and nothing else', () => {
    const built = files.filter((file) => /^dist\/[\w./-]+\.(js|d\.ts)(\.map)?$/.test(file));
    expect(files.filter((file) => !built.includes(file)).toSorted()).toEqual(['LICENSE', 'README.md', 'package.json']);
    expect(built).toContain('dist/index.js');
    expect(built.filter((file) => /\.(e2e-)?spec\.|\/test\//.test(file))).toEqual([]);
    const modules = built.filter((file) => file.endsWith('.js')).map((file) => file.replace(/\.js$/, ''));
    expect(modules.filter((module) => !built.includes(`${module}.d.ts`))).toEqual([]);
  });

  it('leads users only to files that it holds', () => {
    const targets = Object.values(manifest.exports).flatMap((target) =>
      typeof target === 'string'
        ? [target]
        : Object.entries(target).flatMap(([condition, file]) => (condition === OWN_CONDITION ? [] : [file])),
    );
    targets.push(...Object.values(manifest.bin ?? {}));
    expect(targets.map((target) => target.replace('./', '')).filter((target) => !files.includes(target))).toEqual([]);
  });

  it('has commands that the shell hands to Node', () => {
    const root = `/node_modules/${name}/`;
    const firstLines = Object.values(manifest.bin ?? {}).map(
      (file) => unpacked.readFile(root + file.replace('./', '')).split('\n')[0],
    );
    expect(firstLines.filter((line) => line !== '#!/usr/bin/env node')).toEqual([]);
  });

  it('runs nothing when it is installed, and depends on the siblings that were packed with it', () => {
    expect(manifest.scripts).toBeUndefined();
    const siblings = Object.entries(manifest.dependencies ?? {}).filter(([dependency]) =>
      dependency.startsWith('@redstart/'),
    );
    const packed = libraries.map((library) => [library.name, library.version]);
    expect(packed).toEqual(expect.arrayContaining(siblings));
  });

  it('has nothing that publint finds wrong', async () => {
    const { messages } = await publint({ pack: { tarball: bytes.buffer }, strict: true });
    expect(messages.map((message: Message) => formatMessage(message, { ...manifest }))).toEqual([]);
  });

  it('has types wherever TypeScript looks for them, and they are those of its ES modules', async () => {
    const analysis = await checkPackage(unpacked);
    if (analysis.types === false) throw new Error('The package has no types.');
    // A `require` gets the ES module, which Node does from 20.19 and TypeScript knows of NodeNext. It is all that is to be said.
    const expected = entryPoints(manifest.exports).map((entrypoint) => ({
      kind: 'CJSResolvesToESM',
      entrypoint,
      resolutionKind: 'node16-cjs',
    }));
    expect(analysis.problems).toEqual(expected);
    expect(typesOf(analysis, name).filter((file) => !file.startsWith('dist/'))).toEqual([]);
  });
});

/** The declarations that each kind of resolution finds for each entry point. */
function typesOf({ entrypoints }: Analysis, name: string): string[] {
  return Object.entries(entrypoints)
    .filter(([entry]) => entry !== './package.json')
    .flatMap(([, { resolutions }]) => Object.values(resolutions))
    .map(({ resolution }) => resolution?.fileName.replace(`/node_modules/${name}/`, '') ?? 'not found');
}
