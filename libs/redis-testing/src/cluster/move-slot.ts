import type { Redis } from 'ioredis';
import type { RedisServer } from '../server/redis-server.js';
import { ownId } from './node-view.js';

const MIGRATE_TIMEOUT_MS = 5_000;
const KEYS_A_STEP = 100;

/** One move of a slot between two masters. */
export interface SlotMove {
  readonly slot: number;
  readonly from: RedisServer;
  readonly to: RedisServer;
  /** Every master, so that all of them learn of it at once and not by gossip. */
  readonly masters: readonly RedisServer[];
  /** Runs while the slot is between the two: its keys have been moved, its ownership has not. */
  readonly during?: () => Promise<void>;
}

/** The steps of a live resharding, as `redis-cli --cluster reshard` takes them. */
export async function moveSlot({ slot, from, to, masters, during }: SlotMove): Promise<void> {
  await from.ask((source) =>
    to.ask(async (target) => {
      const [sourceId, targetId] = [await ownId(source), await ownId(target)];
      await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', sourceId);
      await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', targetId);
      await moveKeys(source, slot, to);
      await during?.();
      await moveKeys(source, slot, to);
      // The target first: if it stopped here, the slot would have an owner.
      for (const owner of [target, source]) await owner.call('CLUSTER', 'SETSLOT', slot, 'NODE', targetId);
      const others = masters.filter((master) => master !== from && master !== to);
      await Promise.all(
        others.map((master) => master.ask((redis) => redis.call('CLUSTER', 'SETSLOT', slot, 'NODE', targetId))),
      );
    }),
  );
}

async function moveKeys(source: Redis, slot: number, { host, port }: RedisServer): Promise<void> {
  for (;;) {
    const keys = (await source.callBuffer('CLUSTER', 'GETKEYSINSLOT', slot, KEYS_A_STEP)) as Buffer[];
    if (keys.length === 0) return;
    await source.call('MIGRATE', host, port, '', 0, MIGRATE_TIMEOUT_MS, 'KEYS', ...keys);
  }
}
