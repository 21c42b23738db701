import { compareIds } from '../../reading/entry-id.js';
import { firstDeliveries, type Delivery } from '../../scripts/claim.js';
import { soleReaderScript } from '../../scripts/sole-reader.js';
import { backgroundCall } from '../group.js';
import type { Ownership } from '../partitions/ownership.js';
import type { Source } from '../source.js';
import type { PartReading } from './part-reading.js';
import type { StreamReply } from './read-size.js';
import type { ReaderContext } from './read-connection.js';
import { resume } from './resuming.js';

/** So many are taken up by one script. */
const resumedTogether = 200;

/** What a read brought of one stream of a partition. */
export interface OwnedReply {
  readonly part: PartReading;
  readonly source: Source;
  readonly ownership: Ownership;
  readonly entries: StreamReply['entries'];
}

/**
 * Makes what a read brought of partitions complete, and its reader's own, before any of it begins.
 *
 * A read checks no lease: one that was late may have been given entries to a consumer that owns the partition no more, or, when its connection had broken, to this one. Since a group never goes back, they lie before whatever a later read
 * brings; so a look at the pending list behind each read finds them. They are taken up, and put in their place.
 *
 * @param uncertain whether a read of an earlier connection may have been carried out late
 * @returns of each reply its entries with what was missing, in the order of the stream; nothing where another one is the owner by now
 * @see  one script of GET and XPENDING; per stream that something is missing of, one of XPENDING and XCLAIM
 */
export async function completeReplies(
  context: ReaderContext,
  replies: readonly OwnedReply[],
  uncertain: boolean,
): Promise<ReadonlyMap<Source, readonly Delivery[]>> {
  const { connection, group, name, options } = context;
  const standings = await connection.scripts.run(
    backgroundCall({ options }, 'resume'),
    soleReaderScript,
    replies.flatMap(({ ownership, source }) => [ownership.key, source.key]),
    [group, name, ...replies.map(({ ownership }) => ownership.owner)],
  );
  const completed = await Promise.all(
    replies.map(async (reply, at): Promise<[Source, readonly Delivery[]]> => {
      const { entries, ownership, source } = reply;
      const standing = standings[at] ?? 'denied';
      if (standing === 'denied') {
        ownership.denied();
        return [source, []];
      }
      const given = firstDeliveries(entries);
      return [source, standing === 'shared' || uncertain ? await withMissing(context, reply, given) : given];
    }),
  );
  return new Map(completed);
}

async function withMissing(context: ReaderContext, reply: OwnedReply, given: Delivery[]): Promise<readonly Delivery[]> {
  const { part, source } = reply;
  const last = given.at(-1)?.id;
  if (last === undefined) return given;
  const found = [...given];
  for (;;) {
    const arrived = found.map(({ id }) => id);
    const { entries, more, denied } = await resume(context, part, source, { count: resumedTogether, last, arrived });
    if (denied) return [];
    found.push(...entries);
    if (!more) break;
  }
  return found.toSorted((one, other) => compareIds(one.id, other.id));
}
