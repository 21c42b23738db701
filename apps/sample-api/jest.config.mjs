import preset from '../../jest.preset.mjs';

/** A spec file that starts a database and loads it takes seconds on a busy machine, and a minute or two where nobody has loaded one before. */
const testTimeout = 240_000;

export default { ...preset, displayName: 'sample-api', rootDir: import.meta.dirname, testTimeout };
