import type { ConsumerTelemetry } from '../telemetry/consumer-telemetry.js';
import type { GroupMember } from './group.js';
import type { HeldEntry } from './held-entry.js';
import type { Reporter } from './reporter.js';

/** How many entries may stand behind others of their key. */
export const mostSetAside = 10_000;
/** A handler that runs for so long may hang. */
const slowMs = 5 * 60_000;

/** Tells of what keeps a consumer from going on: handlers that may hang, and keys that too many messages stand behind. */
export class StandingWatch {
  readonly #member: GroupMember;
  readonly #telemetry: ConsumerTelemetry;
  readonly #reporter: Reporter;

  constructor(member: GroupMember, telemetry: ConsumerTelemetry, reporter: Reporter) {
    this.#member = member;
    this.#telemetry = telemetry;
    this.#reporter = reporter;
  }

  tellOfSlow(running: readonly HeldEntry[]): void {
    const { connection, consumer } = this.#member;
    const since = connection.clock.now() - slowMs;
    const slow = running.filter(({ heldSince }) => heldSince <= since).length;
    if (slow === 0) return;
    this.#reporter.warn(
      'slow',
      `${slow} handlers of "${consumer.stream.name}" for the group "${consumer.group}" have been running for more than 5 minutes. If they may hang, give them a timeout.`,
    );
  }

  /** All its partitions stand still then, for the sake of one key. */
  tellOfSetAside(aside: number): void {
    const { stream, group } = this.#member.consumer;
    if (aside <= mostSetAside) return;
    this.#telemetry.setAside(aside);
    this.#reporter.warn(
      'set aside',
      `${aside} messages of "${stream.name}" wait behind others of their key, so the group "${group}" reads no more here until some have gone. If a message that fails is not to hold up those behind it for so long, use fewer attempts, a shorter backoff or onFailure: 'skip'.`,
    );
  }
}
