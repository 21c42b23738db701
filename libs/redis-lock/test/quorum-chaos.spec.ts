import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, type RedisServer } from '@redstart/redis-testing';
import { LockError, type Lock } from '../src/index.js';
import { Nodes, startQuorumHost } from './quorum-support.js';
import type { Host } from './support.js';

const key = 'shop:lock:{order:42}';
const callersPerHost = 2;

/** Who is inside, by the clock that all callers of this process share: a lock that is not held any more has told its holder. */
class Witness {
  grants = 0;
  lost = 0;
  readonly violations: string[] = [];
  readonly #inside = new Set<Lock>();
  #lastToken = 0;

  enter(lock: Lock): void {
    if (!lock.isHeld) return;
    this.grants += 1;
    for (const other of this.#inside) {
      if (other.isHeld) this.violations.push(`${lock.fencingToken} beside ${other.fencingToken}`);
    }
    if (lock.fencingToken <= this.#lastToken) this.violations.push(`${lock.fencingToken} after ${this.#lastToken}`);
    this.#lastToken = lock.fencingToken;
    this.#inside.add(lock);
  }

  leave(lock: Lock): void {
    if (!lock.isHeld) this.lost += 1;
    this.#inside.delete(lock);
  }
}

/** Callers on several hosts that want one lock again and again, until they are told to stop. */
class Contention implements AsyncDisposable {
  readonly witness = new Witness();
  readonly refusals = new Map<string, number>();
  readonly #callers: Promise<void>[];
  #stopped = false;

  /** @param holdMs how long a caller works under the lock */
  constructor(
    hosts: readonly Host[],
    public holdMs = 5,
  ) {
    this.#callers = hosts.flatMap((host) =>
      Array.from({ length: callersPerHost }, () => this.#callAgainAndAgain(host)),
    );
  }

  /** Resolves when the lock has been granted a few times more. */
  async goesOn(): Promise<void> {
    const { grants } = this.witness;
    await eventually(() => this.witness.grants >= grants + 5, { within: 30_000 });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#callers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #callAgainAndAgain({ locks }: Host): Promise<void> {
    while (!this.#stopped) {
      try {
        await locks.withLock('order:42', { ttl: '1s', waitTimeout: '2s' }, async (lock) => {
          this.witness.enter(lock);
          await sleep(this.holdMs);
          this.witness.leave(lock);
        });
        await sleep(20); // What else a caller has to do.
      } catch (error) {
        if (!(error instanceof LockError)) throw error;
        this.refusals.set(error.code, (this.refusals.get(error.code) ?? 0) + 1);
      }
    }
  }
}

describe('quorum', () => {
  let nodes: Nodes;
  let hosts: Host[];
  beforeEach(async () => {
    nodes = await Nodes.start(3);
    hosts = await Promise.all([1, 2, 3].map(() => startQuorumHost(nodes.servers)));
  });
  afterEach(async () => {
    await Promise.all(hosts.map(({ app }) => app.close()));
    await nodes[Symbol.asyncDispose]();
  });

  const verdict = (fault: string, injected: number, { witness, refusals }: Contention) => {
    expect(injected).toBeGreaterThan(0);
    expect(witness.violations).toEqual([]);
    const told = [...refusals].map(([code, times]) => `${code} ${times}`).join(', ') || 'none';
    process.stdout.write(
      `quorum: ${fault}: injected ${injected}, held (${witness.grants} grants, ${witness.lost} lost; refusals: ${told})\n`,
    );
  };
  /** No key without a lease, and none at all once everybody has gone. */
  const nothingIsLeft = () =>
    eventually(
      async () => {
        expect(await nodes.keys()).toEqual([]);
      },
      { within: 10_000 },
    );

  it('quorum: minority down', async () => {
    let injected = 0;
    await using contention = new Contention(hosts);
    for (const server of nodes.servers) {
      await contention.goesOn();
      server.pause();
      injected += 1;
      await contention.goesOn();
      server.resume();
    }
    await contention.goesOn();
    await contention.stop();
    verdict('minority down', injected, contention);
    await nothingIsLeft();
  });

  it('quorum: majority down', async () => {
    let injected = 0;
    // Longer than a lease, so that whoever is inside when the majority goes loses it.
    await using contention = new Contention(hosts, 1_500);
    await eventually(() => contention.witness.grants > 0);
    const down: RedisServer[] = nodes.servers.slice(0, 2);
    for (const server of down) {
      server.pause();
      injected += 1;
    }
    const { grants } = contention.witness;
    await eventually(() => contention.witness.lost > 0);
    expect(contention.witness.grants).toBe(grants);
    contention.holdMs = 5;
    for (const server of down) server.resume();
    await contention.goesOn();
    await contention.stop();
    expect(contention.refusals.get('LOCK_QUORUM')).toBeGreaterThan(0);
    verdict('majority down', injected, contention);
    await nothingIsLeft();
  });

  it('quorum: one node restarted empty', async () => {
    let injected = 0;
    await using contention = new Contention(hosts);
    for (const server of nodes.servers) {
      await contention.goesOn();
      const holder = await hosts[0]?.locks.acquire('order:42', { ttl: '1s', autoExtend: true, waitTimeout: '30s' });
      if (holder === undefined) throw new Error('There is a host.');
      contention.witness.enter(holder);
      // A node that forgets a lock which only a quorum had gives that quorum away: see the README.
      await eventually(async () => {
        expect(await nodes.holding(key, holder.token)).toBe(3);
      });
      await server.restart();
      injected += 1;
      // It is back among the holder's nodes, whoever else wants it there.
      await eventually(
        async () => {
          expect(await nodes.holding(key, holder.token)).toBe(3);
        },
        { within: 10_000 },
      );
      holder.assertHeld();
      contention.witness.leave(holder);
      expect(await holder.release()).toBe(true);
    }
    await contention.goesOn();
    await contention.stop();
    verdict('one node restarted empty', injected, contention);
    await nothingIsLeft();
  });
});
