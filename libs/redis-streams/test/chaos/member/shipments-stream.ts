import { defineStream, event } from '../../../src/index.js';
import { Partitioner } from '../../../src/producer/partitioner.js';

/** One message of a key whose messages are published one after the other. */
export interface Shipment {
  readonly wave: string;
  /** `<producer>-<key>-<number>`: unique within the wave. */
  readonly message: string;
  readonly key: string;
  /** 1 for the first message of its key; nothing is left out. */
  readonly number: number;
  readonly fate: 'works' | 'fails once';
}

const partitions = 6;
/** The stream whose order is looked at: its partitions are shared among the consumers. */
export const shipments = defineStream('shipments', { events: { 'shipment.moved': event<Shipment>() }, partitions });
export const trackingGroup = 'tracking';

/** What a handler takes: long enough that two owners of a partition would be seen beside each other. */
export const movedMs = 5;

/** Of a producer: more than there are partitions, so that some share one. */
const keys = 8;

/** The keys of a producer. There is one for each partition, whatever it is called: the owner of a partition without any would have nothing to hold back. */
export function keysOf(producer: string): string[] {
  const partitioner = new Partitioner(partitions);
  const without = new Set(Array.from({ length: partitions }, (_, partition) => partition));
  const found: string[] = [];
  for (let number = 0; found.length < keys; number += 1) {
    const key = `${producer}-k${number}`;
    const isFirst = without.delete(partitioner.of(key, ''));
    if (isFirst || found.length + without.size < keys) found.push(key);
  }
  return found;
}
