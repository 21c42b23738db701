import { setTimeout as sleep } from 'node:timers/promises';
import { places } from '../stage/crew.js';
import { streamKey } from '../stage/stream-view.js';
import type { Suite } from '../stage/suite.js';
import { minIdleMs } from '../stage/timing.js';
import type { Wave } from '../stage/wave.js';
import { chaosSeed, SeededRandom } from './random.js';

/** One fault of a storm: what, and for how long where it is one that lasts. */
interface Strike {
  readonly fault: string;
  readonly lastsMs: number;
}

const strikesPerPlace = 2;
/** Each fault lasts for a time that may or may not be longer than minIdle. */
const longestMs = minIdleMs * 1.3;
const ofMembers = [
  'kill',
  'freeze',
  'reset',
  'silence',
  'lose XREADGROUP',
  'lose XACK',
  'lose XADD',
  'lose EVALSHA',
] as const;
const ofServers = ['pause', 'script flush', 'nothing'] as const;

/** What no test with a name has thought of: faults at any moment, of whoever it may be, several at a time. None of them makes Redis lose anything. */
export function storm(chaos: Suite): void {
  const seed = chaosSeed();
  const random = new SeededRandom(seed);

  const strikeMember = async (wave: Wave, place: number, { fault, lastsMs }: Strike): Promise<number> => {
    const member = chaos.crew.at(place);
    const network = chaos.site.proxiesAt(place);
    const [kind, command = ''] = fault.split(' ');
    switch (kind) {
      case 'kill':
        await wave.kill(member);
        await wave.replace(member);
        return 1;
      case 'freeze':
        member.freeze();
        await sleep(lastsMs);
        member.thaw();
        return 1;
      case 'reset':
        return network.reduce((sum, proxy) => sum + proxy.reset().injected, 0);
      default: {
        const faults = network.map((proxy) =>
          kind === 'silence' ? proxy.blackhole() : proxy.dropReply(command, { thenReset: true }),
        );
        await sleep(lastsMs);
        for (const each of faults) each.stop();
        return faults.reduce((sum, { injected }) => sum + Math.min(injected, 1), 0);
      }
    }
  };

  const strikeServer = async ({ fault, lastsMs }: Strike): Promise<number> => {
    const server = await chaos.site.serverOf(streamKey);
    if (fault === 'pause') server.pause();
    if (fault === 'script flush') await server.ask((redis) => redis.script('FLUSH'));
    await sleep(lastsMs);
    if (fault === 'pause') server.resume();
    return fault === 'nothing' ? 0 : 1;
  };

  chaos.fault(
    'everything at once',
    async (wave) => {
      process.stdout.write(`everything at once: REDSTART_STREAMS_SEED=${seed}\n`);
      const plan = (faults: readonly [string, ...string[]]) =>
        Array.from({ length: strikesPerPlace }, () => ({
          afterMs: random.next() * longestMs,
          fault: random.among(faults),
          lastsMs: random.next() * longestMs,
        }));
      /** What strikes one place comes one after the other. */
      const strike = async (one: (it: Strike) => Promise<number>, faults: readonly [string, ...string[]]) => {
        let injected = 0;
        for (const { afterMs, ...it } of plan(faults)) {
          await sleep(afterMs);
          injected += await one(it);
        }
        return injected;
      };
      const ofPlaces = Array.from({ length: places }, (_, place) =>
        strike((it) => strikeMember(wave, place, it), ofMembers),
      );
      const counts = await Promise.all([...ofPlaces, strike(strikeServer, ofServers)]);
      wave.faultEnds();
      return counts.reduce((sum, count) => sum + count, 0);
    },
    0.3,
  );
}
