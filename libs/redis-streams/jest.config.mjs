import preset from '../../jest.preset.mjs';

export default { ...preset, displayName: 'redis-streams', rootDir: import.meta.dirname };
