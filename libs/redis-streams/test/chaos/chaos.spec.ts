import { networkFaults } from './faults/network-faults.js';
import { processFaults } from './faults/process-faults.js';
import { serverFaults } from './faults/server-faults.js';
import { storm } from './faults/storm.js';
import { failovers, slotMoves } from './faults/topology-faults.js';
import { Crew } from './stage/crew.js';
import { RunReport } from './stage/report.js';
import { oneServer, threeMasters, withSentinels } from './stage/sites.js';
import { describeChaos, registered, type Stage } from './stage/suite.js';
import { isShort, longRun } from './stage/under-fault.js';

let stage: Stage | undefined;

function thatStage(): Stage {
  if (stage === undefined) throw new Error('The stage is there while the suites run.');
  return stage;
}

beforeAll(async () => {
  stage = { crew: await Crew.assemble(), report: new RunReport(longRun) };
}, 60_000);
afterAll(async () => {
  if (stage === undefined) return;
  const { crew, report } = stage;
  // Not of some of the faults.
  if (!isShort && report.count === registered) report.keep(await crew.ledger.server());
  await crew[Symbol.asyncDispose]();
}, 60_000);

/**
 * Four processes consume and two publish, to a stream and to one with partitions, while each fault strikes. What was acknowledged to a publisher is handled or a dead letter in the end, and nothing
 * is left over; no message of a key is begun before the one in front of it has been handled, and no two processes are at work in one partition.
 * A loss by Redis itself excuses what was published before it, and nothing else.
 */
describeChaos('standalone', thatStage, oneServer, (chaos) => {
  processFaults(chaos);
  networkFaults(chaos);
  storm(chaos);
  serverFaults(chaos);
});

describeChaos('cluster', thatStage, threeMasters, (chaos) => {
  processFaults(chaos);
  networkFaults(chaos);
  storm(chaos);
  slotMoves(chaos);
  serverFaults(chaos);
});

describeChaos('sentinel', thatStage, withSentinels, (chaos) => {
  failovers(chaos);
});
