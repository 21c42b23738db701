import { setTimeout as sleep } from 'node:timers/promises';
import { StreamConsumer, StreamHandler, type StreamContext } from '../../../src/index.js';
import type { Ledger } from '../ledger/ledger.js';
import { machineNow } from '../ledger/line.js';
import type { Gate } from './gate.js';
import { movedMs, shipments, trackingGroup, type Shipment } from './shipments-stream.js';

/** The consumer of the partitions: it tells when it begins a message, and when it has handled it. */
export function trackingOf(name: string, ledger: Ledger, gate: Gate) {
  @StreamConsumer(shipments, { group: trackingGroup, concurrency: 32 })
  class Tracking {
    @StreamHandler(shipments.event('shipment.moved'))
    async moved({ wave, message, key, number, fate }: Shipment, ctx: StreamContext): Promise<void> {
      const about = { message, by: name };
      ctx.signal.addEventListener('abort', () => {
        void ledger.say(wave, { what: 'aborted', ...about, at: machineNow() });
      });
      await gate.opened(shipments.name);
      // What another one works on by now is left to it.
      ctx.signal.throwIfAborted();
      const begunAt = machineNow();
      const run = { key, number, partition: ctx.hashTag, begunAt };
      await ledger.say(wave, { what: 'begun', ...about, at: begunAt, run });
      if (fate === 'fails once' && ctx.attempt === 1) throw new Error('It fails once.');
      await sleep(movedMs);
      await ledger.say(wave, { what: 'handled', ...about, begunAt, at: machineNow(), run });
    }
  }
  return Tracking;
}
