import { defineScript, type RedisCall, type ScriptRunner } from '@redstart/redis-core';

/**
 * Keeps a lease alive for a loader that takes its time.
 *
 * KEYS  lease
 * ARGV  token, leaseMs
 * Returns  1 renewed · 0 it is gone, or somebody else's (nothing was changed)
 */
const renewScript = defineScript({
  name: 'cache:renew',
  keys: 1,
  lua: `
    local held = redis.call('GET', KEYS[1])
    if not held or string.sub(held, 2) ~= ARGV[1] then return 0 end
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])`,
  parse: (reply) => reply === 1,
});

/** Renews leases of one cluster slot. @returns for each whether it is still held; `undefined` where that could not be told */
export async function renewLeases(
  scripts: ScriptRunner,
  call: RedisCall,
  leases: readonly { readonly key: string; readonly token: string }[],
  leaseMs: number,
): Promise<(boolean | undefined)[]> {
  const outcomes = await scripts.runPipelined(
    call,
    leases.map(({ key, token }) => ({ script: renewScript, keys: [key], args: [token, leaseMs] })),
  );
  return outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : undefined));
}
