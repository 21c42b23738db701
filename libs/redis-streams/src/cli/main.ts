#!/usr/bin/env node
import { runProgram } from './program.js';

const interrupt = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    interrupt.abort(new Error('interrupted; what was done stays done'));
  });
}
const output = {
  out: (text: string) => process.stdout.write(`${text}\n`),
  err: (text: string) => process.stderr.write(`${text}\n`),
};
process.exitCode = await runProgram(process.argv.slice(2), process.env, output, interrupt.signal);
