import { checkInteger, checkOneOf, OptionsError } from '@redstart/redis-core';
import type { RateLimitReceipt } from '../decision.js';
import { mostLimits } from '../policies/all.js';

/**
 * Looks at a receipt that may have travelled: stored, sent, and come back from who knows where.
 *
 * @throws OptionsError when it is none of ours
 */
export function checkReceipt(receipt: unknown): asserts receipt is RateLimitReceipt {
  const where = 'refund(receipt)';
  const { policy, key, cost, countedBy, atUs, charges } = fieldsOf(receipt, where);
  if (typeof policy !== 'string' || key === undefined || !Array.isArray(charges) || charges.length > mostLimits) {
    throw notOurs(where);
  }
  checkInteger(cost, `${where}.cost`, 0, 2 ** 31);
  checkOneOf(countedBy, `${where}.countedBy`, ['redis', 'local']);
  checkInteger(atUs, `${where}.atUs`, 0, Number.MAX_SAFE_INTEGER);
  for (const [index, charge] of (charges as unknown[]).entries()) {
    const at = `${where}.charges[${index}]`;
    const fields = fieldsOf(charge, at);
    if (typeof fields['key'] !== 'string' || typeof fields['part'] !== 'string') throw notOurs(at);
    checkInteger(fields['mark'], `${at}.mark`, 0, Number.MAX_SAFE_INTEGER);
  }
}

/** A receipt that names one subject and the key of another. */
export function foreignKey(policy: string): OptionsError {
  return new OptionsError(
    'refund(receipt)',
    `says that it charged "${policy}" at a key which is not that of its subject. Pass on receipts as they are; those of another namespace are of no use here.`,
  );
}

function fieldsOf(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw notOurs(where);
  return value as Readonly<Record<string, unknown>>;
}

function notOurs(where: string): OptionsError {
  return new OptionsError(where, 'is no receipt of a decision. Pass on what decision.receipt holds, as it is.');
}
