import preset from '../../../jest.preset.mjs';

/** On the packages as users get them: run through `nx e2e`, which builds the libraries first. */
export default {
  ...preset,
  displayName: 'package-check e2e',
  rootDir: import.meta.dirname,
  testMatch: ['<rootDir>/**/*.e2e-spec.ts'],
  modulePathIgnorePatterns: [],
  maxWorkers: 1,
  testTimeout: 120_000,
};
