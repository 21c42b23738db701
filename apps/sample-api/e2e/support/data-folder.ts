import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder for a database, removed at the end. */
export async function temporaryDataFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const parent = await mkdtemp(join(tmpdir(), 'sample-api-'));
  return { path: join(parent, 'postgres'), [Symbol.asyncDispose]: () => rm(parent, { recursive: true, force: true }) };
}
