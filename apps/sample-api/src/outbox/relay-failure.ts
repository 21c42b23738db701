import { Logger } from '@nestjs/common';
import { RedstartError } from '@redstart/redis-core';
import { isDatabaseUnavailable } from '../database/database.errors.js';
import { messageOf, stackOf, withoutPasswords } from '../startup/startup-error.js';

const logger = new Logger('Outbox');

/** Tells the operator that messages stay in the outbox: of an outage in a line, of a defect with its stack. The relay goes on, and tells of the first failure only. */
export function reportRelayFailure(error: unknown): void {
  const what = 'Bookings can not be announced at the moment; it is tried again';
  if (error instanceof RedstartError || isDatabaseUnavailable(error)) {
    logger.warn(`${what}: ${withoutPasswords(messageOf(error))}`);
  } else logger.error(what, stackOf(error));
}
