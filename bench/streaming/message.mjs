/** What is published in every row: about 200 bytes of JSON. */
export function messageOf(number) {
  return {
    number,
    customer: `customer-${number % 1_000}`,
    placedAt: '2026-03-01T12:00:00.000Z',
    lines: [
      { sku: 'A-1001', quantity: 2, cents: 1999 },
      { sku: 'B-2002', quantity: 1, cents: 549 },
    ],
    note: 'leave it at the door',
  };
}
