import { type ArgumentMetadata, Injectable, type Paramtype, type PipeTransform } from '@nestjs/common';
import { InvalidRequestProblem } from './problem.js';

/** What is wrong with the whole, and with no field of it, reads after these. */
const WHOLE: Record<Paramtype, string> = {
  body: 'The body',
  query: 'The query',
  param: 'The path',
  custom: 'The request',
};

/** Validates every parameter that has a `schema` and reports all wrong fields at once. */
@Injectable()
export class RequestValidationPipe implements PipeTransform {
  async transform(value: unknown, { schema, type }: ArgumentMetadata): Promise<unknown> {
    if (!schema) return value;
    const result = await schema['~standard'].validate(value);
    if (!result.issues) return result.value;
    const wrong = result.issues.map(({ path = [], message }) => ({
      field: path.map((step) => String(typeof step === 'object' ? step.key : step)).join('.'),
      detail: message,
    }));
    throw new InvalidRequestProblem(wrong, WHOLE[type]);
  }
}
