import { Logger } from '@nestjs/common';
import { checkText, OptionsError, type RedisConnection } from '@redstart/redis-core';

/** Checks the names of a quorum's nodes. @throws OptionsError when they can't be one */
export function checkNodes(nodes: unknown, connection: string | undefined, where: string): readonly string[] {
  const option = `${where}.nodes`;
  if (!Array.isArray(nodes))
    throw new OptionsError(option, "expected names of connections: ['lock-a', 'lock-b', 'lock-c'].");
  if (connection !== undefined) {
    throw new OptionsError(
      option,
      'contradicts connection: a lock lives on one connection, or at a quorum of nodes. Leave one of them out.',
    );
  }
  const names = nodes.map((name: unknown, index) => checkText(name, `${option}[${index}]`));
  if (names.length < 2) {
    throw new OptionsError(
      option,
      `got ${names.length}; a quorum takes several nodes, best 3 or 5. For one Redis use connection.`,
    );
  }
  const [twice] = names.filter((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new OptionsError(option, `names "${twice}" twice; each node has one vote.`);
  return Object.freeze(names);
}

/** Checks the connections behind the names, and warns of a number of them that is of little use. @throws OptionsError when they are no independent nodes */
export function checkNodeConnections(connections: readonly RedisConnection[], where: string): void {
  const option = `${where}.nodes`;
  const [first] = connections;
  for (const [index, { name, place, keys, cluster }] of connections.entries()) {
    const same = connections.slice(0, index).find((other) => other.place === place);
    if (same !== undefined) {
      throw new OptionsError(
        option,
        `"${same.name}" and "${name}" both lead to ${place}; a node that votes twice makes no quorum.`,
      );
    }
    if (cluster) {
      throw new OptionsError(
        option,
        `"${name}" is a Cluster; a node is one server, since all keys of a lock have to live on each.`,
      );
    }
    if (first !== undefined && keys.namespace !== first.keys.namespace) {
      throw new OptionsError(
        option,
        `"${first.name}" has the namespace "${first.keys.namespace}" and "${name}" has "${keys.namespace}"; a lock needs the same keys at every node.`,
      );
    }
  }
  const warning = warningFor(connections.length);
  if (warning !== undefined) new Logger('RedisLock').warn(`${option}: ${warning}`);
}

function warningFor(nodes: number): string | undefined {
  if (nodes < 3) return `${nodes} nodes outlive the failure of none, since a quorum is both of them. Use 3, or 5.`;
  if (nodes % 2 > 0) return undefined;
  return `${nodes} nodes outlive the failure of no more of them than ${nodes - 1} do, and votes can be tied. Use an odd number.`;
}
