import preset from '../../jest.preset.mjs';

export default { ...preset, displayName: 'redis-lock', rootDir: import.meta.dirname };
