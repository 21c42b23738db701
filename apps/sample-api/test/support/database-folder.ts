import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { Database } from '../../src/database/database.js';
import { EmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { migrateToLatest } from '../../src/database/migrate.js';
import { loadDataSets } from '../../src/seed/load-data-sets.js';

/** `empty`: as the embedded database makes it. `loaded`: migrated, with the data sets in it. */
export type Template = 'empty' | 'loaded';

/** A place for the embedded database, removed at the end. */
export interface DatabaseFolder extends AsyncDisposable {
  readonly path: string;
}

const root = join(import.meta.dirname, '../..');
const templates = join(root, '.cache/databases');

/**
 * A data folder of the embedded database, copied in a second: making one takes half a minute where the disk is slow. What is copied is made when there is
 * none for these migrations, these data sets and this engine.
 *
 * @param content `none`: there is no folder yet, the database makes it
 */
export async function databaseFolder(content: Template | 'none'): Promise<DatabaseFolder> {
  const parent = await mkdtemp(join(tmpdir(), 'sample-api-'));
  const path = join(parent, 'postgres');
  if (content !== 'none') await cp(await template(content), path, { recursive: true });
  return { path, [Symbol.asyncDispose]: () => rm(parent, { recursive: true, force: true, maxRetries: 3 }) };
}

async function template(content: Template): Promise<string> {
  const version = versionOfContent();
  const path = join(templates, version, content);
  if (existsSync(path)) return path;
  // Made aside and moved: whoever finds it, finds it whole. Of two who make it at the same time, the second one's is not needed.
  const draft = join(templates, `draft-${randomUUID()}`);
  await mkdir(draft, { recursive: true });
  await make(content, join(draft, content));
  await mkdir(join(templates, version), { recursive: true });
  await rename(join(draft, content), path).catch((error: unknown) => {
    if (!existsSync(path)) throw error;
  });
  await rm(draft, { recursive: true, force: true });
  const outdated = (await readdir(templates)).filter((name) => name !== version && !name.startsWith('draft-'));
  await Promise.all(outdated.map((name) => rm(join(templates, name), { recursive: true, force: true })));
  return path;
}

async function make(content: Template, path: string): Promise<void> {
  if (content === 'empty') {
    const inMemory = await PGlite.create();
    const image = await inMemory.dumpDataDir('none');
    await inMemory.close();
    await (await PGlite.create({ dataDir: path, loadDataDir: image })).close();
    return;
  }
  await cp(await template('empty'), path, { recursive: true });
  const postgres = await EmbeddedPostgres.start({ dataFolder: path });
  const database = new Database({ url: postgres.url, poolSize: 1 });
  await migrateToLatest(database);
  await loadDataSets(database, () => undefined);
  await database.destroy();
  await postgres.stop();
}

/** Changes with everything that a template is made of; the versions of the engine and of the data are exact ones. */
function versionOfContent(): string {
  const hash = createHash('sha256').update(readFileSync(join(root, 'package.json')));
  for (const part of ['src/database/migrations', 'src/database/migrate.ts', 'src/seed']) {
    const files = part.endsWith('.ts') ? [part] : readdirSync(join(root, part)).map((name) => join(part, name));
    for (const file of files.toSorted()) hash.update(readFileSync(join(root, file)));
  }
  return hash.digest('hex').slice(0, 16);
}
