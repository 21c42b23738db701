import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@redstart/redis-testing';
import type { Suite } from '../stage/suite.js';
import { minIdleMs } from '../stage/timing.js';
import { inTurn } from './in-turn.js';

/** Of faults that take their time. */
const slowly = 0.4;

/** What happens to processes. */
export function processFaults(chaos: Suite): void {
  let turn = 0;
  const nextProducer = inTurn(() => chaos.crew.producers);

  chaos.fault(
    'kill -9 of a consumer',
    async (wave) => {
      const consumer = await wave.owner(turn++);
      // It surely dies between the delivery and the acknowledgement of some entries: their handlers wait. To look for them afterwards might be too late, since others take them.
      await wave.holdsBack(consumer);
      await wave.kill(consumer);
      wave.faultEnds();
      await wave.takenFrom(consumer);
      await wave.replace(consumer);
      return 1;
    },
    slowly,
  );

  chaos.fault('kill -9 of a producer', async (wave) => {
    const producer = nextProducer();
    await wave.kill(producer);
    wave.faultEnds();
    await wave.replace(producer);
    return 1;
  });

  // No fault, if it is done well: as in every deployment.
  chaos.fault(
    'shutdown of every consumer in turn',
    async (wave) => {
      for (const consumer of chaos.crew.consumers) await chaos.crew.restart(consumer);
      wave.faultEnds();
      return chaos.crew.consumers.length;
    },
    slowly,
  );

  chaos.fault(
    'SIGSTOP of a consumer beyond minIdle',
    async (wave) => {
      const consumer = await wave.owner(turn++);
      await wave.holdsBack(consumer);
      consumer.freeze();
      try {
        // Longer than its entries are its own, and until others have taken all of them.
        await sleep(minIdleMs);
        await wave.takenFrom(consumer);
      } finally {
        consumer.thaw();
      }
      wave.faultEnds();
      // It is told of its loss, before its handlers may go on.
      await eventually(
        async () => {
          expect((await wave.record()).aborted.get(consumer.name) ?? 0).toBeGreaterThan(0);
        },
        { within: 30_000 },
      );
      await consumer.do({ order: 'let-go' });
      return 1;
    },
    slowly,
  );
}
