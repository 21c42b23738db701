/** What is known of a key since it was begun to be read: that nothing has changed it, as long as it is current. */
export interface Fact {
  readonly key: string;
  /** No change of the key has been heard of. */
  readonly current: boolean;
}

interface HeldFact extends Fact {
  current: boolean;
  /** How many reads under way and entries go by it. */
  holders: number;
}

/**
 * What this process knows of keys of Redis, each fact until the key has changed.
 *
 * A fact is taken *before* the key is read. If a change is heard of first, the fact is not current any more and what was read is not kept; if the reply is
 * there first, what was read is kept, goes by the fact, and ends with it. So no order between the two connections is needed. An entry goes by the
 * facts of its own key and of the versions of its tags and namespaces: one change of a version ends all that hangs on it, whatever their number, and a
 * look at an entry is a look at a few flags.
 */
export class Knowledge {
  readonly #facts = new Map<string, HeldFact>();

  /** To be given back by {@link release}, once for each time that it was taken. */
  take(key: string): Fact {
    const known = this.#facts.get(key);
    if (known !== undefined) {
      known.holders += 1;
      return known;
    }
    const fact = { key, current: true, holders: 1 };
    this.#facts.set(key, fact);
    return fact;
  }

  release(fact: Fact): void {
    const held = this.#facts.get(fact.key);
    // One that is not current has left the map, and another may have taken its place.
    if (held !== fact) return;
    held.holders -= 1;
    if (held.holders === 0) this.#facts.delete(fact.key);
  }

  changed(key: string): void {
    const fact = this.#facts.get(key);
    if (fact === undefined) return;
    fact.current = false;
    this.#facts.delete(key);
  }

  forget(): void {
    for (const fact of this.#facts.values()) fact.current = false;
    this.#facts.clear();
  }

  /** How many keys something is known of. */
  get size(): number {
    return this.#facts.size;
  }
}
