import { fileURLToPath } from 'node:url';

/** `REDSTART_IOREDIS=5` runs the suites with the older major that the libraries support. */
const otherIoredis = process.env.REDSTART_IOREDIS === '5' ? { '^ioredis$': 'ioredis-5' } : {};

/**
 * `REDSTART_TOPOLOGY=cluster` asks for what runs on a Cluster: the suites that `describeOn` names so, and none of the specs that run on any topology alike. These go
 * with `standalone`.
 */
const topologies = (process.env.REDSTART_TOPOLOGY ?? '').split(',').map((name) => name.trim());
const named = topologies.filter((name) => /^[a-z]+$/.test(name));
const onlyOnThese =
  named.length === 0 || named.includes('standalone') ? {} : { testNamePattern: `\\[(${named.join('|')})\\]` };

/** `REDSTART_CHAOS=off` leaves out what takes longest: the faults that strike several processes. */
const withoutChaos =
  process.env.REDSTART_CHAOS === 'off' ? { testPathIgnorePatterns: ['/node_modules/', '/test/chaos/'] } : {};

/** Jest in native-ESM mode: swc compiles the TypeScript (with decorator metadata), Node's vm runs real ES modules. */
export default {
  testEnvironment: 'node',
  testEnvironmentOptions: { customExportConditions: ['@redstart/source', 'node', 'node-addons'] },
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1', ...otherIoredis },
  testMatch: ['**/test/**/*.spec.ts'],
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/out-tsc'],
  maxWorkers: 2,
  ...withoutChaos,
  ...onlyOnThese,
  // For machines that stand still for a while: nothing waits for it that is well.
  testTimeout: 60_000,
  reporters: ['default', fileURLToPath(new URL('tools/jest-summary-reporter.mjs', import.meta.url))],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          keepClassNames: true,
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
};
