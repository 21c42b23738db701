import preset from '../../../jest.preset.mjs';

/** Compiles, runs and kills processes, against the built libraries: run through `nx e2e`, which builds first. */
export default {
  ...preset,
  displayName: 'quick-start e2e',
  rootDir: import.meta.dirname,
  testMatch: ['<rootDir>/**/*.e2e-spec.ts'],
  modulePathIgnorePatterns: [],
  maxWorkers: 1,
  testTimeout: 240_000,
};
