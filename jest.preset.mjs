import { fileURLToPath } from 'node:url';

/** `REDSTART_IOREDIS=5` runs the suites with the older major that the libraries support. */
const otherIoredis = process.env.REDSTART_IOREDIS === '5' ? { '^ioredis$': 'ioredis-5' } : {};

/** Jest in native-ESM mode: swc compiles the TypeScript (with decorator metadata), Node's vm runs real ES modules. */
export default {
  testEnvironment: 'node',
  testEnvironmentOptions: { customExportConditions: ['@redstart/source', 'node', 'node-addons'] },
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1', ...otherIoredis },
  testMatch: ['**/test/**/*.spec.ts'],
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/out-tsc'],
  maxWorkers: 2,
  testTimeout: 20_000,
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
