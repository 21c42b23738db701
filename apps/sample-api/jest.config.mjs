import preset from '../../jest.preset.mjs';

export default { ...preset, displayName: 'sample-api', rootDir: import.meta.dirname };
