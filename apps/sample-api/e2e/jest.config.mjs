import preset from '../../../jest.preset.mjs';

/** Over HTTP and over processes, against the built application: run through `nx e2e`, which builds first. */
export default {
  ...preset,
  displayName: 'sample-api e2e',
  rootDir: import.meta.dirname,
  testMatch: ['<rootDir>/**/*.e2e-spec.ts'],
  modulePathIgnorePatterns: [],
  maxWorkers: 1,
  testTimeout: 240_000,
};
