import { HttpException } from '@nestjs/common';
import { z } from 'zod';

/** What a client is told when a request fails: `application/problem+json`, RFC 9457. */
export const problemSchema = z
  .looseObject({
    type: z
      .string()
      .meta({ description: '`about:blank`, and the status says which kind of problem it is; or the URI of its kind' }),
    title: z.string().meta({ description: 'The phrase of the status' }),
    status: z.int(),
    detail: z
      .string()
      .optional()
      .meta({ description: 'What went wrong this time; missing where there is no more to say' }),
    code: z.string().optional().meta({ description: 'Stable name of the problem, to branch on' }),
    instance: z.string().meta({ description: 'The path that was asked for' }),
    errors: z
      .array(z.object({ field: z.string(), detail: z.string() }))
      .optional()
      .meta({ description: 'One entry per wrong field of the request' }),
  })
  .meta({ description: 'RFC 9457 problem' });

export type Problem = z.infer<typeof problemSchema>;

export const PROBLEM_CONTENT_TYPE = 'application/problem+json';

export interface ProblemDescription {
  readonly status: number;
  /** Stable, upper-case: what a client may branch on. */
  readonly code?: string;
  readonly detail: string;
  /** Further members of the body. */
  readonly extensions?: Readonly<Record<string, unknown>>;
}

/** Base of the failures that a client is told about in full. Everything else is reported by its status alone. */
export class ProblemException extends HttpException {
  constructor(
    readonly problem: ProblemDescription,
    options?: { cause?: unknown },
  ) {
    super(problem.detail, problem.status, options);
  }
}

/** The thing that the path names does not exist. */
export class UnknownResourceProblem extends ProblemException {
  constructor(what: 'airport' | 'flight' | 'booking', id: string | number) {
    super({ status: 404, code: `UNKNOWN_${what.toUpperCase()}`, detail: `There is no ${what} ${id}.` });
  }
}

/** The path, the query or the body breaks the rules of the endpoint. */
export class InvalidRequestProblem extends ProblemException {
  /** @param whole what an error without a field is about, e.g. "The body" */
  constructor(
    readonly errors: readonly { field: string; detail: string }[],
    whole: string,
  ) {
    super({
      status: 400,
      code: 'INVALID_REQUEST',
      detail: errors.map(({ field, detail }) => (field ? `${field}: ${detail}` : `${whole} ${detail}`)).join('; '),
      extensions: { errors },
    });
  }
}

/** The body is of a media type that the endpoint does not understand, or of none. */
export class UnsupportedMediaTypeProblem extends ProblemException {
  constructor() {
    super({
      status: 415,
      code: 'UNSUPPORTED_MEDIA_TYPE',
      detail: 'The body must be JSON, sent with the header "Content-Type: application/json".',
    });
  }
}
