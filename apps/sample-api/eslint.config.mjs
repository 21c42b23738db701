import workspace from '../../eslint.config.mjs';

export default [
  ...workspace,
  {
    // Nest types the options of `NestFactory.create` as a class that it does not export: a literal is the only way to give them.
    files: ['src/app.ts'],
    rules: { '@typescript-eslint/no-unsafe-class-instance-assignment': 'off' },
  },
];
