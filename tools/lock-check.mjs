/**
 * Checks package-lock.json for two faults that `npm install` writes silently and that only show on somebody else's machine.
 *
 * A missing platform package: npm leaves it out when the registry does not have it at that moment, and `npm ci` then fails on
 * every machine. An address in "resolved": it ties everyone to the registry of whoever wrote the lock.
 *
 * Run directly, it prints the faults: `node tools/lock-check.mjs`
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './paths.mjs';

/** @param {{ packages: Record<string, any> }} lock @returns {string[]} one line per fault */
export function faultsOf(lock) {
  return [...missingOptional(lock.packages), ...addresses(lock.packages)];
}

function missingOptional(packages) {
  const faults = [];
  for (const [path, entry] of Object.entries(packages)) {
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      if (!resolve(packages, path, name)) faults.push(`${path || 'the root'} needs ${name}, which the lock lacks`);
    }
  }
  return faults;
}

/** As Node resolves: in the package itself, then in each package around it. */
function resolve(packages, from, name) {
  for (let path = from; ; path = path.slice(0, Math.max(0, path.lastIndexOf('node_modules/') - 1))) {
    const found = packages[path ? `${path}/node_modules/${name}` : `node_modules/${name}`];
    if (found || !path) return found;
    if (!path.includes('node_modules/')) return packages[`node_modules/${name}`];
  }
}

/** A workspace's link is resolved to its folder, which is no address. */
function addresses(packages) {
  return Object.entries(packages)
    .filter(([, entry]) => entry.resolved && !entry.link)
    .map(([path]) => `${path} has an address in "resolved"`);
}

if (process.argv[1] && pathToFileURL(process.argv[1]).href === import.meta.url) {
  const faults = faultsOf(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')));
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) {
    console.error(
      [
        '',
        'A missing package: pin the version before, for which all platform packages exist, and run `npm install` anew.',
        'An address: set omit-lockfile-registry-resolved=true in .npmrc, or remove the "resolved" lines.',
      ].join('\n'),
    );
    process.exitCode = 1;
  }
}
