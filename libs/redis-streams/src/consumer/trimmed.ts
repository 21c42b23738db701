import type { ConsumerTelemetry } from '../telemetry/consumer-telemetry.js';
import type { GroupMember } from './group.js';
import type { Reporter } from './reporter.js';

/** Loudly: nobody will handle them, but who has them in hand. */
export function tellOfTrimmed(
  { consumer }: GroupMember,
  telemetry: ConsumerTelemetry,
  reporter: Reporter,
  count: number,
): void {
  telemetry.trimmed(count);
  reporter.warn(
    'trimmed',
    `${count} entries of "${consumer.stream.name}" were trimmed or deleted before the group "${consumer.group}" had handled them: nobody will but a handler that has them in hand.`,
  );
}
