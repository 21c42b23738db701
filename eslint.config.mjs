import nx from '@nx/eslint-plugin';
import { defineConfig, globalIgnores } from 'eslint/config';
import * as jsonc from 'jsonc-eslint-parser';
import tseslint from 'typescript-eslint';

/** The floors of the house: a project imports only the floors below it, never its neighbours. */
const floors = [
  { sourceTag: 'layer:app', onlyDependOnLibsWithTags: ['layer:composed', 'layer:pattern', 'layer:core'] },
  { sourceTag: 'layer:composed', onlyDependOnLibsWithTags: ['layer:pattern', 'layer:core'] },
  { sourceTag: 'layer:pattern', onlyDependOnLibsWithTags: ['layer:core'] },
  { sourceTag: 'layer:core', onlyDependOnLibsWithTags: [] },
  { sourceTag: 'layer:testing', onlyDependOnLibsWithTags: [] },
];
/** Specs may also use the testing kit, which stands beside the floors. */
const floorsOfSpecs = floors.map((floor) => ({
  ...floor,
  onlyDependOnLibsWithTags: [...floor.onlyDependOnLibsWithTags, 'layer:testing'],
}));
const boundaries = (depConstraints) => ['error', { enforceBuildableLibDependency: true, depConstraints }];

export default defineConfig(
  globalIgnores(['**/dist', '**/out-tsc', '**/node_modules', '**/.nx', '**/.cache', '**/.data']),
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { '@nx': nx },
    rules: {
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // A rejection is passed on exactly as it came, whatever it is.
      '@typescript-eslint/prefer-promise-reject-errors': ['error', { allowThrowingUnknown: true }],
      '@nx/enforce-module-boundaries': boundaries(floors),
    },
  },
  {
    files: ['**/test/**/*.ts', '**/e2e/**/*.ts'],
    rules: {
      '@typescript-eslint/unbound-method': 'off',
      '@nx/enforce-module-boundaries': boundaries(floorsOfSpecs),
    },
  },
  {
    files: ['**/package.json'],
    plugins: { '@nx': nx },
    languageOptions: { parser: jsonc },
    rules: {
      '@nx/dependency-checks': [
        'error',
        {
          ignoredDependencies: [
            '@nestjs/core',
            '@nestjs/platform-express',
            '@opentelemetry/api',
            'reflect-metadata',
            'rxjs',
            'tslib',
            'ioredis',
          ],
          ignoredFiles: ['{projectRoot}/jest.config.mjs', '{projectRoot}/test/**', '{projectRoot}/eslint.config.mjs'],
        },
      ],
    },
  },
);
