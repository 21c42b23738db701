import type { StandardSchemaV1 } from '@standard-schema/spec';
import { defineStream, event } from '../../src/index.js';

export interface OrderCreated {
  id: number;
}

/** A Standard Schema without a library: `{ id: '7' }` comes out as `{ id: 7 }`. */
export const paidSchema: StandardSchemaV1<{ id: string }, { id: number }> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => {
      const id = typeof value === 'object' && value !== null && 'id' in value ? value.id : undefined;
      return typeof id === 'string' && /^\d+$/.test(id)
        ? { value: { id: Number(id) } }
        : { issues: [{ message: 'expected digits', path: ['id'] }] };
    },
  },
};

export const orders = defineStream('orders', {
  events: {
    'order.created': event<OrderCreated>(),
    'order.paid': paidSchema,
    'order.cancelled': event<OrderCreated>(),
  },
});
