import preset from '../../jest.preset.mjs';

// Its specs mostly wait: for leases that end, for processes and servers that come up.
export default { ...preset, displayName: 'redis-streams', rootDir: import.meta.dirname, maxWorkers: 4 };
