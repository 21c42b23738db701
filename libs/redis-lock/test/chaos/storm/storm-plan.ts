export const faultsOfWorkers = ['kill', 'freeze', 'stall', 'reset', 'lose a reply'] as const;
export const faultsOfServers = ['pause', 'flush', 'script flush'] as const;
export type WorkerFault = (typeof faultsOfWorkers)[number];
export type ServerFault = (typeof faultsOfServers)[number];

/** One fault of a storm. */
export type Strike = {
  /** After the storm has begun. */
  readonly atMs: number;
  /** For how long it is in force, where it is one that lasts. */
  readonly lastsMs: number;
} & (
  | {
      readonly place: number;
      readonly fault: WorkerFault;
      /** Of a lost reply: its connection breaks as well. */
      readonly thenReset: boolean;
    }
  | { readonly place: 'server'; readonly fault: ServerFault }
);

export interface StormScale {
  readonly strikes: number;
  /** How many workers there are. */
  readonly places: number;
  /** How long the storm takes, about. */
  readonly overMs: number;
  /** No fault lasts longer. */
  readonly longestMs: number;
}

const shareOfServer = 0.2;

/**
 * What strikes whom and when: nothing but `random` decides it, so the same numbers give the same storm. Several are struck at a time, each of them by one fault.
 */
export function stormPlan(random: () => number, { strikes, places, overMs, longestMs }: StormScale): Strike[] {
  const among = <T>(things: readonly T[]): T => {
    const thing = things[Math.floor(random() * things.length)];
    if (thing === undefined) throw new RangeError('There is nothing to choose from.');
    return thing;
  };
  const restUntil = new Map<number | 'server', number>();
  const everyPlace = Array.from({ length: places }, (_, place) => place);
  let atMs = 0;
  return Array.from({ length: strikes }, (): Strike => {
    atMs += (random() * 2 * overMs) / strikes;
    const when = { atMs, lastsMs: random() * longestMs };
    const isFree = (target: number | 'server') => (restUntil.get(target) ?? 0) <= atMs;
    const free = everyPlace.filter(isFree);
    if ((random() < shareOfServer && isFree('server')) || free.length === 0) {
      restUntil.set('server', atMs + when.lastsMs);
      return { ...when, place: 'server', fault: among(faultsOfServers) };
    }
    const place = among(free);
    restUntil.set(place, atMs + when.lastsMs);
    return { ...when, place, fault: among(faultsOfWorkers), thenReset: random() < 0.5 };
  });
}
