import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Outside the workspace, so that nobody who builds or tests it installs them: `npm run bench:peers` does. */
const installed = createRequire(fileURLToPath(new URL('../../.cache/bench-peers/package.json', import.meta.url)));

/** @returns the peer's module, in the form that `import` sees */
export async function load(name) {
  const module = await import(pathToFileURL(placeOf(name)).href);
  return module.default?.default === undefined ? module : module.default;
}

function placeOf(name) {
  try {
    return installed.resolve(name);
  } catch (error) {
    throw new Error(`${name} is not installed. Run it as npm run bench:peers, which sees to that.`, { cause: error });
  }
}
