import { LockError } from '../lock.errors.js';

/**
 * A flow of calls that holds one side of a read/write lock asked for a side of the same lock that it would have to wait for: for itself. Thrown at once, by
 * what is called inside the work of `withRead` or `withWrite`.
 */
export class ReadWriteNestingError extends LockError {
  readonly code = 'READ_WRITE_NESTING';

  constructor(
    readonly key: string,
    /** What the flow of calls holds already. */
    readonly held: 'read' | 'write',
    readonly asked: 'read' | 'write',
  ) {
    super(
      `Read/write lock "${key}" is already held for ${held} by this flow of calls, so asking for ${asked} would wait for itself. ${nestingWayOut(held, asked)}`,
    );
  }
}

function nestingWayOut(held: 'read' | 'write', asked: 'read' | 'write'): string {
  if (held === 'read') return 'End withRead first, and look again at what was read; or use withWrite from the start.';
  if (asked === 'write') return 'Do this work under the write lock that is held, and pass it on if need be.';
  return 'Read under the write lock, or call downgrade() on it when nothing is left to write.';
}
