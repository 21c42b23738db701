import { existsSync } from 'node:fs';
import { join } from 'node:path';

export const workspace = join(import.meta.dirname, '../../../..');
export const fixtures = join(import.meta.dirname, '../../fixtures');

/** The server that `npm test` has chosen, or the one that it has unpacked into the workspace; otherwise the one on the PATH. */
export function redisServerBinary(): { REDIS_SERVER_BIN?: string } {
  const unpacked = join(workspace, '.cache/redis/redis-server');
  const bin = process.env['REDIS_SERVER_BIN'] ?? (existsSync(unpacked) ? unpacked : undefined);
  return bin === undefined ? {} : { REDIS_SERVER_BIN: bin };
}
