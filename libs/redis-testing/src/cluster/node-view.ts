import type { Redis } from 'ioredis';

/** One line of CLUSTER NODES: a node as another one sees it. */
export interface NodeView {
  readonly id: string;
  readonly port: number;
  readonly flags: readonly string[];
  /** The id of the master, on a replica. */
  readonly masterId?: string;
  /** Ranges of slots, both ends included. */
  readonly slots: readonly (readonly [number, number])[];
}

/** What `redis` knows of the cluster. */
export async function viewOf(redis: Redis): Promise<NodeView[]> {
  const text = String(await redis.call('CLUSTER', 'NODES'));
  return text.trim().split('\n').map(parseLine);
}

/** The id of the node that `redis` is connected to. */
export async function ownId(redis: Redis): Promise<string> {
  return String(await redis.call('CLUSTER', 'MYID'));
}

// <id> <ip:port@bus[,host]> <flags> <master> <ping> <pong> <epoch> <link> <slot> <from-to> [<slot in migration>]
function parseLine(line: string): NodeView {
  const [id = '', address = '', flags = '', master = '-', , , , , ...slots] = line.split(' ');
  return {
    id,
    port: Number(/:(\d+)@/.exec(address)?.[1]),
    flags: flags.split(','),
    ...(master !== '-' && { masterId: master }),
    slots: slots.filter((slot) => !slot.startsWith('[')).map(parseRange),
  };
}

function parseRange(text: string): [number, number] {
  const [from = '', to = from] = text.split('-');
  return [Number(from), Number(to)];
}
