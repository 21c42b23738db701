import preset from '../../jest.preset.mjs';

/**
 * `REDSTART_NEAR=on`: what a cache promises in any case, with its near tier. On one server, and without what has specs of its own for it, takes no part in it, or has faults, many processes or
 * orders of steps: `near/` enumerates those that it takes part in.
 */
const withNearTier =
  process.env.REDSTART_NEAR === 'on'
    ? {
        testNamePattern: '\\[standalone\\]',
        testPathIgnorePatterns: [
          '/node_modules/',
          ...[
            'near/',
            'interop/',
            'cacheable',
            'cluster-outage',
            'commit-scope',
            'faults',
            'http-',
            'interleavings',
            'method-changes',
            'outage',
            'stampede-processes',
            'write-through-order',
          ].map((path) => `/test/${path}`),
        ],
      }
    : {};

// Its specs mostly wait: for leases that end, for processes and servers that come up.
export default { ...preset, displayName: 'redis-cache', rootDir: import.meta.dirname, maxWorkers: 4, ...withNearTier };
