import workspace from '../../eslint.config.mjs';

export default [
  ...workspace,
  {
    // The applications' manifests: what they depend on is written there by the test that installs them.
    files: ['fixtures/**/package.json'],
    rules: { '@nx/dependency-checks': 'off' },
  },
];
