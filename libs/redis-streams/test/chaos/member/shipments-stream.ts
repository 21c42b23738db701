import { defineStream, event } from '../../../src/index.js';

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

/** The stream whose order is looked at: its partitions are shared among the consumers. */
export const shipments = defineStream('shipments', { events: { 'shipment.moved': event<Shipment>() }, partitions: 6 });
export const trackingGroup = 'tracking';

/** What a handler takes: long enough that two owners of a partition would be seen beside each other. */
export const movedMs = 5;
