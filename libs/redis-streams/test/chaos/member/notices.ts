import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { RedisStreamsContext } from '../../../src/transport/index.js';
import type { Ledger } from '../ledger/ledger.js';
import { machineNow } from '../ledger/line.js';
import type { Gate } from './gate.js';

/** What is emitted by a Nest client, and handled by a Nest server. */
export interface Notice {
  readonly wave: string;
  /** `<producer>-n<number>`: unique within the wave. */
  readonly message: string;
  readonly fate: 'works' | 'fails once';
}

/** Its stream is that of the transport, and known by name only. */
export const noticesStream = 'notices';
export const noticesGroup = 'mailing';
export const noticePattern = 'notice.sent';

/** The handlers of the transport under test. */
export function mailingOf(name: string, ledger: Ledger, gate: Gate) {
  @Controller()
  class Mailing {
    @EventPattern(noticePattern)
    async sent(@Payload() { wave, message, fate }: Notice, @Ctx() ctx: unknown): Promise<void> {
      if (!(ctx instanceof RedisStreamsContext)) throw new TypeError('It is another context.');
      const { signal, attempt } = ctx.getMessage();
      await gate.opened(noticesStream);
      signal.throwIfAborted();
      const begunAt = machineNow();
      if (fate === 'fails once' && attempt === 1) throw new Error('It fails once.');
      await ledger.say(wave, { what: 'handled', message, by: name, begunAt, at: machineNow() });
    }
  }
  return Mailing;
}
