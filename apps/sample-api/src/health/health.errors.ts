import { z } from 'zod';
import { ProblemException } from '../problem/problem.js';

const failedCheck = z.object({ details: z.record(z.string(), z.looseObject({ status: z.string() })) });

/** Something that the service depends on is down, and `checks` in the body says what; or the service is shutting down. */
export class UnhealthyProblem extends ProblemException {
  constructor(result: unknown) {
    const { details: checks } = failedCheck.parse(result);
    const down = Object.keys(checks).filter((name) => checks[name]?.status !== 'up');
    super({
      status: 503,
      code: 'UNHEALTHY',
      detail: down.length === 0 ? 'Shutting down.' : `Down: ${down.join(', ')}.`,
      extensions: { checks },
    });
  }
}
