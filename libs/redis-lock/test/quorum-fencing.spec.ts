import type { RedisClient } from '@redstart/redis-core';
import { eventually } from '@redstart/redis-testing';
import { Nodes, startQuorumHost } from './quorum-support.js';
import type { Host } from './support.js';

const key = 'shop:lock:{order:42}';
const stranger = `${'s'.repeat(22)}stranger:1:abcdefgh_00000001`;

/** Every way to choose `size` of `count` nodes. */
function choices(count: number, size: number): number[][] {
  const all = Array.from({ length: 2 ** count }, (_, bits) =>
    Array.from({ length: count }, (_, node) => node).filter((node) => bits & (1 << node)),
  );
  return all.filter((chosen) => chosen.length === size);
}

describe.each([
  [3, [2, 3]],
  [4, [3]],
  [5, [3]],
])('the fencing tokens of a lock over %i nodes', (count, sizes) => {
  let nodes: Nodes;
  let hosts: [Host, Host];
  let clients: RedisClient[];
  beforeAll(async () => {
    nodes = await Nodes.start(count);
    const patient = { commandTimeout: '5s' } as const;
    hosts = [await startQuorumHost(nodes.servers, patient), await startQuorumHost(nodes.servers, patient)];
    clients = nodes.servers.map((server) => server.client());
  });
  afterAll(async () => {
    await Promise.all(hosts.map(({ app }) => app.close()));
    await nodes[Symbol.asyncDispose]();
  });

  /** Takes and releases it at exactly these nodes: everywhere else somebody has it. Returns the token. */
  const holdAt = async (host: Host, quorum: readonly number[]): Promise<number> => {
    const others = clients.filter((_, node) => !quorum.includes(node));
    await Promise.all(others.map((client) => client.set(key, stranger, 'PX', 60_000)));
    // Not at once or not at all: its last holder may still have asked for a node that was missing, and gives it back as soon as it gets it.
    const lock = await host.locks.acquire('order:42', { waitTimeout: '20s' });
    // A majority has decided; the last node may still be at it.
    await eventually(async () => {
      const owners = await Promise.all(clients.map((client) => client.get(key)));
      expect(owners.filter((owner) => owner?.startsWith(lock.token))).toHaveLength(quorum.length);
    });
    await lock.release();
    await Promise.all(clients.map((client) => client.del(key)));
    return lock.fencingToken;
  };

  it('rise from any quorum to any other, however far apart the counters of the nodes are', async () => {
    const quorums = sizes.flatMap((size) => choices(count, size));
    // Ahead of every clock, so that only the counters decide; each node's own would go up and down from quorum to quorum.
    const ahead = Date.now() * 1_000 + 86_400_000_000;
    let pairs = 0;
    for (const first of quorums) {
      for (const second of quorums) {
        await Promise.all(
          clients.map((client, node) => client.set(`${key}:fence`, ahead + ((node * 7) % 5) * 10, 'PX', 60_000)),
        );
        const [before, after] = [await holdAt(hosts[0], first), await holdAt(hosts[1], second)];
        expect({ first, second, rises: after > before }).toEqual({ first, second, rises: true });
        pairs += 1;
      }
    }
    expect(pairs).toBe(quorums.length ** 2);
  });

  it('rise over a long run of changing quorums', async () => {
    const quorums = choices(count, Math.floor(count / 2) + 1);
    let last = 0;
    for (let turn = 0; turn < 40; turn++) {
      const quorum = quorums[(turn * 7) % quorums.length] ?? [];
      const token = await holdAt(hosts[turn % 2 === 0 ? 0 : 1], quorum);
      expect(token).toBeGreaterThan(last);
      last = token;
    }
  });
});
