/** Where things are. Every path that the tools touch lies inside this checkout. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[\\/]$/, '');
/** Can be deleted at any time: what is in it is made again. */
export const cacheDirectory = join(root, '.cache');
/** What `npm start` keeps between runs: the bookings and what is queued for them. */
export const dataDirectory = join(root, '.data');

/** Which version of a package the workspace has installed. */
export const versionOf = (name) => createRequire(join(root, 'package.json'))(`${name}/package.json`).version;
