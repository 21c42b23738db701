import { z } from 'zod';

/**
 * Has zod say what is wrong in phrases that read after the name of a field, "search: must have at least 2 characters", wherever a schema has no words of its own.
 * This holds for the process, because zod knows no narrower place.
 */
export function useValidationPhrases(): void {
  z.config({ customError: phraseOf });
}

const TYPES: Partial<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'an integer',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
};

function phraseOf(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is missing' : `must be ${TYPES[issue.expected] ?? issue.expected}`;
    case 'too_small':
      return boundOf(issue.origin, 'at least', issue.minimum, issue.inclusive ?? true);
    case 'too_big':
      return boundOf(issue.origin, 'at most', issue.maximum, issue.inclusive ?? true);
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_format':
      return issue.format === 'regex' ? 'has a wrong form' : `must be a valid ${issue.format}`;
    case 'invalid_value':
      return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(quoted).join(', ')}`;
    case 'unrecognized_keys':
      return `has ${issue.keys.length === 1 ? 'an unknown key' : 'unknown keys'}: ${issue.keys.map(quoted).join(', ')}`;
    default:
      return 'is not valid';
  }
}

/** Text is counted in characters, a list in entries; a number is compared. */
function boundOf(origin: string, bound: 'at least' | 'at most', limit: number | bigint, isIncluded: boolean): string {
  const unit = { string: 'character', array: 'entry', set: 'entry' }[origin];
  if (unit !== undefined) return `must have ${bound} ${limit} ${Number(limit) === 1 ? unit : pluralOf(unit)}`;
  if (isIncluded) return `must be ${bound} ${limit}`;
  return `must be ${bound === 'at least' ? 'greater' : 'less'} than ${limit}`;
}

const pluralOf = (unit: string): string => (unit === 'entry' ? 'entries' : `${unit}s`);

const quoted = (value: unknown): string => (typeof value === 'string' ? JSON.stringify(value) : String(value));
