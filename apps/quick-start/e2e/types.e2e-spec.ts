import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { codeBlocks, workspace } from './support/markdown.js';
import { ScratchApp } from './support/scratch-app.js';
import { asFile, readmes } from './support/surroundings.js';

const paths = [
  'README.md',
  ...readdirSync(join(workspace, 'libs')).map((name) => `libs/${name}/README.md`),
  ...readdirSync(join(workspace, 'docs')).map((name) => `docs/${name}`),
];
const typescriptOf = (path: string) => codeBlocks(path).filter(({ language }) => language === 'ts');

/** The blocks of a page as files, by names that lead back to them. */
function filesOf(path: string, change = (code: string) => code): Record<string, string> {
  const { imports = '', blocks = [] } = readmes[path] ?? {};
  const files = typescriptOf(path).flatMap(({ code, line }, index) => {
    const surroundings = blocks[index];
    return surroundings ? [[`${path}/line-${line}.ts`, asFile(change(code), imports, surroundings)]] : [];
  });
  return Object.fromEntries(files) as Record<string, string>;
}

describe('the TypeScript of the READMEs and the docs', () => {
  it.each(paths)('has surroundings for every block: %s', (path) => {
    expect(readmes[path]?.blocks).toHaveLength(typescriptOf(path).length);
  });

  it('compiles, block by block, against the built packages', async () => {
    const sources = Object.assign({}, ...paths.map((path) => filesOf(path))) as Record<string, string>;
    expect(Object.keys(sources).length).toBeGreaterThanOrEqual(paths.length);
    await using app = await ScratchApp.create(sources, { types: ['node', 'jest'] });
    expect(await app.compile()).toEqual([]);
  });

  it('is really checked: with a wrong option it does not compile', async () => {
    const wrong = filesOf('libs/redis-lock/README.md', (code) => code.replace("'10s'", "'10 seconds'"));
    await using app = await ScratchApp.create(wrong);
    expect((await app.compile()).join('\n')).toContain('"10 seconds"');
  });
});
