/** The entries of one key. */
interface Lane<Entry> {
  /** The one that goes first. */
  head: Entry;
  readonly behind: Entry[];
}

/**
 * Lets entries of one key go one after the other, and those of different keys beside each other.
 *
 * A key has a *lane* from its first entry until its last one has been let go. The first entry of a lane goes at once; each further one is *set aside* until the one before it is settled. Entries without a key have none,
 * and never wait for each other.
 */
export class KeyLanes<Entry extends { readonly laneId: string | undefined }> {
  readonly #lanes = new Map<string, Lane<Entry>>();
  /** How many entries are set aside. */
  size = 0;

  /** @returns whether the entry may go; otherwise {@link next} returns it in its turn */
  admit(entry: Entry): boolean {
    const { laneId } = entry;
    if (laneId === undefined) return true;
    const lane = this.#lanes.get(laneId);
    if (lane === undefined) {
      this.#lanes.set(laneId, { head: entry, behind: [] });
      return true;
    }
    lane.behind.push(entry);
    this.size += 1;
    return false;
  }

  /** The entry has been let go. @returns the one that goes now */
  next(entry: Entry): Entry | undefined {
    const { laneId } = entry;
    const lane = laneId === undefined ? undefined : this.#lanes.get(laneId);
    // One that was set aside leaves nobody behind.
    if (laneId === undefined || lane?.head !== entry) return undefined;
    const next = lane.behind.shift();
    if (next === undefined) {
      this.#lanes.delete(laneId);
      return undefined;
    }
    lane.head = next;
    this.size -= 1;
    return next;
  }

  /** @returns those that are set aside and that the condition holds for, which are no more */
  take(condition: (entry: Entry) => boolean): Entry[] {
    const taken: Entry[] = [];
    for (const lane of this.#lanes.values()) {
      const left = lane.behind.filter((entry) => !condition(entry));
      taken.push(...lane.behind.filter(condition));
      lane.behind.splice(0, lane.behind.length, ...left);
    }
    this.size -= taken.length;
    return taken;
  }
}
