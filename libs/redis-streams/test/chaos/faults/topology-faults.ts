import type { ClusterSite, SentinelSite } from '../stage/sites.js';
import { partitionKeys, streamKey } from '../stage/stream-view.js';
import type { Suite } from '../stage/suite.js';

/** A stream, and a partition, move to another master while they are written and read. */
export function slotMoves(chaos: Suite<ClusterSite>): void {
  chaos.fault('slot moved', async (wave) => {
    const { cluster } = chaos.site;
    // The stream, and one partition of the other one.
    const moved = [streamKey, partitionKeys[0] ?? ''];
    for (const key of moved) {
      const from = await cluster.nodeOf(key);
      const to = (await cluster.masters()).find((master) => master !== from);
      if (to === undefined) throw new Error('There is no other master.');
      await cluster.migrateSlot(await cluster.slotOf(key), to);
      expect(await cluster.nodeOf(key)).toBe(to);
    }
    wave.faultEnds();
    return moved.length;
  });
}

/** The master dies, and its replica takes over. What it had not passed on by then is lost, as Redis has it: nobody waited for the replica. */
export function failovers(chaos: Suite<SentinelSite>): void {
  chaos.fault('failover', async (wave) => {
    const { sentinel } = chaos.site;
    if (!sentinel.replica.running) await sentinel.rejoin();
    await wave.loses(() => sentinel.failover());
    wave.faultEnds();
    return 1;
  });
}
