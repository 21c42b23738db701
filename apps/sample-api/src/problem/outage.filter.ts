import { Catch, type ExceptionFilter } from '@nestjs/common';
import { isDatabaseUnavailable } from '../database/database.errors.js';

/**
 * For handlers of messages. A message that fails while the database is away comes again, and whoever delivers it tells of that: Nest would log it as a defect besides.
 * Everything else is one.
 */
@Catch()
export class OutageFilter implements ExceptionFilter {
  catch(error: unknown): void {
    if (isDatabaseUnavailable(error)) throw error;
  }
}
