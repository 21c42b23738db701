import preset from '../../jest.preset.mjs';

export default { ...preset, displayName: 'redis-testing', rootDir: import.meta.dirname };
