import preset from '../../jest.preset.mjs';

export default { ...preset, displayName: 'redis-core', rootDir: import.meta.dirname };
