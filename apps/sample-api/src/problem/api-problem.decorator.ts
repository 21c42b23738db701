import { STATUS_CODES } from 'node:http';
import { applyDecorators } from '@nestjs/common';
import { ApiResponse, type SchemaObject } from '@nestjs/swagger';
import { z } from 'zod';
import { PROBLEM_CONTENT_TYPE, type Problem, problemSchema } from './problem.js';

// zod and swagger type the same OpenAPI 3.0 schema each in its own way.
const schema = z.toJSONSchema(problemSchema, { target: 'openapi-3.0' }) as SchemaObject;

/** Documents one problem response of an endpoint, with an example body. */
function ApiProblem(example: Problem, description: string) {
  return ApiResponse({
    status: example.status,
    description,
    content: { [PROBLEM_CONTENT_TYPE]: { schema, example } },
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

/** The problems that every endpoint can answer with: a bad request, too many of them, a dependency that is down. */
export function ApiCommonProblems(instance: string, wrong: { field: string; detail: string }) {
  return applyDecorators(
    ApiProblem(
      { ...problem(400, instance, `${wrong.field}: ${wrong.detail}`, 'INVALID_REQUEST'), errors: [wrong] },
      'The request breaks a rule of the endpoint; `errors` lists every wrong field',
    ),
    ApiProblem(
      problem(429, instance, 'Too many requests. Try again in 12 s.'),
      'Too many requests; `Retry-After` says when to come back',
    ),
    ApiProblem(
      problem(503, instance, 'The database is not reachable at the moment. Try again.'),
      'The database or Redis is not reachable',
    ),
  );
}

export const ApiNotFoundProblem = (instance: string, detail: string, code: string) =>
  ApiProblem(problem(404, instance, detail, code), 'It does not exist');

export const ApiSeatTakenProblem = () =>
  ApiProblem(
    problem(409, '/bookings', 'Seat 12A of flight 1 is already booked.', 'SEAT_TAKEN'),
    'The seat is booked already, or being booked by someone else right now',
  );

export const ApiUnhealthyProblem = () =>
  ApiProblem(problem(503, '/health', 'Down: database.', 'UNHEALTHY'), 'A dependency is down; `checks` says which');
