import preset from '../../jest.preset.mjs';

/** A spec file that starts a database and loads it takes seconds on a busy machine. */
const testTimeout = 90_000;

export default { ...preset, displayName: 'sample-api', rootDir: import.meta.dirname, testTimeout };
