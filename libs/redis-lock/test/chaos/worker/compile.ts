import { compilePrograms } from '../../processes/compile.js';

/** The worker as plain JavaScript, to be run by Node itself. */
export interface CompiledWorker extends AsyncDisposable {
  readonly script: string;
}

/** Once for all workers, which then start without compiling. */
export async function compileWorker(): Promise<CompiledWorker> {
  const programs = await compilePrograms('chaos');
  return {
    script: programs.script('chaos/worker/worker'),
    [Symbol.asyncDispose]: () => programs[Symbol.asyncDispose](),
  };
}
