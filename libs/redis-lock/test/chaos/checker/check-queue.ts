/** What Redis itself did to one lock, in its order, as MONITOR shows it. Times are ms on the server's clock. */
export type QueueEvent = { readonly at: number } & (
  | {
      readonly what: 'call';
      /** The arguments of the script that the following events come from. */ readonly args: readonly string[];
    }
  | { readonly what: 'queued' | 'left' | 'offered' | 'granted'; readonly key: string; readonly owner: string }
  /** From here on the process can't hear of a lock, and that is known: it was killed, or its connection broken. Or it can. */
  | { readonly what: 'deaf' | 'hears'; readonly pid: number }
  /** Nothing is known of what happened before: the queue was lost, or not watched. */
  | { readonly what: 'gap' }
);

/**
 * First come, first served: when a lock is granted, nobody may stand in its queue before the new holder, except who can't hear of it. Redis decides that by offering
 * (PUBLISH) the lock to each in turn; nobody may be left out of the turn, or dropped from the queue by others, unless the test made it deaf.
 *
 * @returns what is against that, in words
 */
export function checkQueue(history: readonly QueueEvent[]): string[] {
  const findings: string[] = [];
  const queues = new Map<string, string[]>();
  const hearing = new Set<number>();
  let offered = new Set<string>();
  let overtaken = new Map<string, readonly string[]>();
  let caller: readonly string[] = [];
  const queueOf = (key: string) => queues.get(key) ?? [];
  /** One script may act for several owners, in whatever form it is told of them. */
  const calls = (owner: string) => caller.some((argument) => argument.includes(owner));
  const hears = (owner: string) => hearing.has(pidOf(owner));

  for (const event of history) {
    switch (event.what) {
      case 'call':
        caller = event.args;
        offered = new Set();
        overtaken = new Map();
        break;
      case 'deaf':
        hearing.delete(event.pid);
        break;
      case 'hears':
        hearing.add(event.pid);
        break;
      case 'gap':
        queues.clear();
        break;
      case 'queued':
        queues.set(event.key, [...queueOf(event.key).filter((owner) => owner !== event.owner), event.owner]);
        break;
      case 'offered':
        offered.add(event.owner);
        break;
      case 'left': {
        const queue = queueOf(event.key);
        const place = queue.indexOf(event.owner);
        if (place < 0) {
          overtaken.set(event.owner, []); // It took its place before the watch began, so it came before all that are known.
          break;
        }
        overtaken.set(event.owner, queue.slice(0, place));
        queues.set(event.key, queue.toSpliced(place, 1));
        if (!offered.has(event.owner) && !calls(event.owner) && hears(event.owner)) {
          findings.push(`${event.owner} was dropped from the queue of ${event.key}, although it listens`);
        }
        break;
      }
      case 'granted':
        // Who did not wait has overtaken all who do.
        for (const owner of overtaken.get(event.owner) ?? queueOf(event.key)) {
          if (hears(owner)) findings.push(`${event.owner} got ${event.key} before ${owner}, which came first`);
        }
        break;
    }
  }
  return findings;
}

/** An owner ends with the address of its process, `<host>:<pid>:<random>`, and perhaps a label. */
export function pidOf(owner: string): number {
  return Number(/:(\d+):[\w-]+(?:\|.*)?$/.exec(owner)?.[1]);
}
