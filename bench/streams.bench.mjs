import { isInstalled } from './peers/queues.mjs';
import { consumeBench } from './streaming/consume.bench.mjs';
import { delayBench } from './streaming/delay.bench.mjs';
import { endToEndBench } from './streaming/end-to-end.bench.mjs';
import { footprintBench } from './streaming/footprint.bench.mjs';
import { growthBench } from './streaming/growth.bench.mjs';
import { publishBenches } from './streaming/publish.bench.mjs';

/** Streams: publishing, consuming, both together, delays, memory, many streams. With BullMQ in the same run where it is installed. */
export async function streamsBenches(context, { peers } = {}) {
  const withPeers = { ...context, peers: peers ?? (await isInstalled()) };
  if (!withPeers.peers) console.log('Without BullMQ: `npm run bench:peers -- streams` installs it.\n');
  await publishBenches(withPeers);
  context.publish(await consumeBench(withPeers));
  context.publish(await endToEndBench(withPeers));
  context.publish(await delayBench(context));
  context.publish(await footprintBench(context));
  context.publish(await growthBench(context));
}
