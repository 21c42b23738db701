import type { StandardSchemaV1 } from '@standard-schema/spec';
import { isSchema } from '../definition/event.js';
import type { StreamDefinition } from '../definition/define-stream.js';
import { InvalidPayloadError } from '../streams.errors.js';

/**
 * Checks a payload against the schema of its event; without a schema everything fits.
 *
 * @returns what the schema made of it
 * @throws InvalidPayloadError
 */
export async function validatePayload(stream: StreamDefinition, type: string, payload: unknown): Promise<unknown> {
  const shape = Object.hasOwn(stream.events, type) ? stream.events[type] : undefined;
  if (!isSchema(shape)) return payload;
  const result = await shape['~standard'].validate(payload);
  if (result.issues === undefined) return result.value;
  throw new InvalidPayloadError(stream.name, type, result.issues.map(describeIssue));
}

function describeIssue({ message, path = [] }: StandardSchemaV1.Issue) {
  return { message, path: path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.') };
}
