import { STATUS_CODES } from 'node:http';
import { applyDecorators, UseGuards } from '@nestjs/common';
import { ApiResponse, type SchemaObject } from '@nestjs/swagger';
import { z } from 'zod';
import { JsonBodyGuard } from './json-body.guard.js';
import { PROBLEM_CONTENT_TYPE, type Problem, problemSchema, UnsupportedMediaTypeProblem } from './problem.js';

// zod and swagger type the same OpenAPI 3.0 schema each in its own way.
const schema = z.toJSONSchema(problemSchema, { target: 'openapi-3.0' }) as SchemaObject;

/** Documents the problem responses of one status, with an example body per code. */
function ApiProblem(description: string, ...examples: [Problem, ...Problem[]]) {
  const [first] = examples;
  const named = Object.fromEntries(examples.map((value) => [value.code ?? value.title, { value }]));
  const shown = examples.length === 1 ? { example: first } : { examples: named };
  return ApiResponse({
    status: first.status,
    description,
    content: { [PROBLEM_CONTENT_TYPE]: { schema, ...shown } },
  });
}

const problem = (status: number, instance: string, detail: string, code?: string): Problem => ({
  type: 'about:blank',
  title: STATUS_CODES[status] ?? 'Error',
  status,
  detail,
  code,
  instance,
});

/** The problems that every endpoint of ours can answer with: a bad request, a dependency that is down. */
export function ApiCommonProblems(instance: string, wrong: { field: string; detail: string }) {
  return applyDecorators(
    ApiProblem('The request breaks a rule of the endpoint; `errors` lists every wrong field', {
      ...problem(400, instance, `${wrong.field}: ${wrong.detail}`, 'INVALID_REQUEST'),
      errors: [wrong],
    }),
    ApiProblem(
      'The database or Redis is not reachable; `Retry-After` says when to come back',
      problem(503, instance, 'The database is not reachable at the moment. Try again.'),
    ),
  );
}

/** For a route with `@RateLimit`. */
export const ApiRateLimitProblem = (instance: string) =>
  ApiProblem('Too many requests; `Retry-After` says when to come back', {
    ...problem(429, instance, 'Try again in 12s.', 'RATE_LIMIT_EXCEEDED'),
    type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
  });

export const ApiNotFoundProblem = (instance: string, detail: string, code: string) =>
  ApiProblem('It does not exist', problem(404, instance, detail, code));

export const ApiNoTicketProblem = (id: string) =>
  ApiProblem(
    '`TICKET_NOT_ISSUED`: it will be in a moment. `UNKNOWN_BOOKING`: there is no such booking',
    problem(
      404,
      `/bookings/${id}/ticket`,
      `The ticket of booking ${id} is not issued yet. Try again in a moment.`,
      'TICKET_NOT_ISSUED',
    ),
    problem(404, `/bookings/${id}/ticket`, `There is no booking ${id}.`, 'UNKNOWN_BOOKING'),
  );

export const ApiSeatTakenProblem = () =>
  ApiProblem(
    '`SEAT_TAKEN`: the seat is booked already. `LOCK_NOT_ACQUIRED`: somebody else is booking it right now, so it may still become free. `OVERTAKEN`: somebody else was quicker, so it may be free or not',
    problem(409, '/bookings', 'Seat 12A of flight 1 is already booked.', 'SEAT_TAKEN'),
    problem(409, '/bookings', 'Somebody else is at this just now. Try again.', 'LOCK_NOT_ACQUIRED'),
    problem(409, '/bookings', 'Somebody else was quicker at seat 12A of flight 1. Try again.', 'OVERTAKEN'),
  );

/** A route that takes a JSON body and nothing else. */
export function JsonBody(instance: string) {
  return applyDecorators(
    UseGuards(JsonBodyGuard),
    ApiProblem(
      'The body is too large',
      problem(413, instance, 'The body is larger than 16384 bytes.', 'BODY_TOO_LARGE'),
    ),
    ApiProblem(
      'The body is not declared as JSON',
      problem(415, instance, new UnsupportedMediaTypeProblem().message, 'UNSUPPORTED_MEDIA_TYPE'),
    ),
  );
}

export const ApiUnhealthyProblem = () =>
  ApiProblem('A dependency is down; `checks` says which', problem(503, '/health', 'Down: database.', 'UNHEALTHY'));
