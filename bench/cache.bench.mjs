import { coldKeyBench } from './caching/cold-key.bench.mjs';
import { footprintBench, nearGrowthBench, tagGrowthBench } from './caching/footprint.bench.mjs';
import { hitBenches } from './caching/hits.bench.mjs';
import { httpBench } from './caching/http.bench.mjs';
import { missBench } from './caching/misses.bench.mjs';
import { tagBenches } from './caching/tags.bench.mjs';

/** What a cached value costs to read, to miss, to invalidate and to keep. */
export async function cacheBenches(context) {
  await hitBenches(context);
  context.publish(await missBench(context));
  await tagBenches(context);
  context.publish(await coldKeyBench(context));
  context.publish(await footprintBench(context));
  context.publish(await tagGrowthBench(context));
  context.publish(await nearGrowthBench(context));
  context.publish(await httpBench(context));
}
