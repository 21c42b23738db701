import { Injectable, StandardSchemaValidationPipe } from '@nestjs/common';
import { InvalidRequestProblem } from './problem.js';

/** Validates every parameter that has a `schema` and reports all wrong fields at once. */
@Injectable()
export class RequestValidationPipe extends StandardSchemaValidationPipe {
  constructor() {
    super({
      exceptionFactory: (issues) =>
        new InvalidRequestProblem(
          issues.map((issue) => ({
            field: (issue.path ?? []).map((step) => String(typeof step === 'object' ? step.key : step)).join('.'),
            detail: issue.message,
          })),
        ),
    });
  }
}
