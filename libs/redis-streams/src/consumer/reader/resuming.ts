import { resumeScript, type Resumption } from '../../scripts/resume.js';
import { backgroundCall } from '../group.js';
import type { Source } from '../source.js';
import type { PartReading } from './part-reading.js';
import type { ReaderContext } from './read-connection.js';

/** So much arrives within the time of a command, also over a slow network. */
const largestResumptionBytes = 4 * 1024 * 1024;

export interface ResumptionRange {
  readonly count: number;
  /** About how many bytes; never more than arrive within the time of a command. */
  readonly bytes?: number;
  /** Nothing behind this id. */
  readonly last?: string;
  /** Ids that are here already, beside those that the source knows of. */
  readonly arrived?: readonly string[];
}

/** Takes up what is pending in one stream, and has not arrived here: of a partition whoever it was given to. What nobody will ever handle, since it was trimmed, is told. @see one script of XPENDING and XCLAIM */
export async function resume(
  { connection, group, name, options }: ReaderContext,
  part: PartReading,
  source: Source,
  { count, bytes = Infinity, last = '+', arrived = [] }: ResumptionRange,
): Promise<Resumption> {
  const { ownership } = part.right;
  const call = backgroundCall({ options }, 'resume');
  const keys = ownership === undefined ? [source.key] : [source.key, ownership.key];
  const most = Math.min(bytes, largestResumptionBytes);
  const whose = [group, name, count, most, last, ownership?.owner ?? '', options.minIdleMs];
  const resumption = await connection.scripts.run(call, resumeScript, keys, [...whose, ...source.knownIds, ...arrived]);
  if (resumption.denied) ownership?.denied();
  part.trimmed(resumption.trimmed);
  return resumption;
}
