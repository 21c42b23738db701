import preset from '../../jest.preset.mjs';

export default { ...preset, displayName: 'redis-ratelimit', rootDir: import.meta.dirname };
