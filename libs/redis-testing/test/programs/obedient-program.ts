import { obey } from '../../src/programs/index.js';

export type ProgramOrder =
  { readonly order: 'work' } | { readonly order: 'fail' } | { readonly order: 'reject' } | { readonly order: 'leave' };

const [, , name, greeting] = process.argv;

obey(({ order }: ProgramOrder) => {
  if (order === 'fail') return Promise.reject(new Error(`${String(name)} can not, ${String(greeting)}`));
  if (order === 'reject') void Promise.reject(new Error('nobody handles this'));
  if (order === 'leave') process.exit(3);
  return Promise.resolve();
});
