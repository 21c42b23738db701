import preset from '../../jest.preset.mjs';

export default { ...preset, displayName: 'redis-cache', rootDir: import.meta.dirname };
