import { OptionsError } from '@redstart/redis-core';
import ipaddr from 'ipaddr.js';
import { parseAddress } from './address.js';
import { identityOf } from './by.js';
import type { RateLimitContext, RequestMatch } from './context.js';

/** A prefix as it is compared: with an address of its own kind only. */
type Network = [ipaddr.IPv4, number] | [ipaddr.IPv6, number];

/**
 * Whether the client's address is one of these, or in one of these networks. An IPv4 address inside an IPv6 one is compared as the former. A call without an
 * address is in none.
 *
 * @throws OptionsError for what is no address or network
 * @example  RedisRateLimitModule.forRoot({ policies, allow: [ipIn('10.0.0.0/8', '2001:db8::/32')] })
 */
export function ipIn(...networks: readonly [string, ...string[]]): RequestMatch {
  const parsed = networks.map(parseNetwork);
  return ({ ip }) => {
    const address = ip === undefined ? undefined : parseAddress(ip);
    return address !== undefined && parsed.some((network) => contains(network, address));
  };
}

/**
 * Whether the user that authentication has found is one of these. The identity is that of `by.user()`: `id`, `sub` or `userId`.
 *
 * @example  RateLimit('api', { skip: userIn('crawler') })
 */
export function userIn(...ids: readonly [string | number | bigint, ...(string | number | bigint)[]]): RequestMatch {
  const wanted = new Set(ids.map(String));
  return ({ user }: RateLimitContext) => {
    const id = identityOf(user);
    return id !== undefined && wanted.has(String(id));
  };
}

function parseNetwork(text: unknown): Network {
  if (typeof text === 'string') {
    const single = parseAddress(text);
    if (single instanceof ipaddr.IPv4) return [single, 32];
    if (single !== undefined) return [single, 128];
    if (ipaddr.isValidCIDR(text)) return networkOf(ipaddr.parseCIDR(text));
  }
  throw new OptionsError('ipIn', `${JSON.stringify(text)} is no address and no network such as '10.0.0.0/8'.`);
}

function networkOf([address, bits]: [ipaddr.IPv4 | ipaddr.IPv6, number]): Network {
  if (address instanceof ipaddr.IPv4) return [address, bits];
  // Addresses arrive unwrapped, so a wrapped network is meant to be.
  if (address.isIPv4MappedAddress() && bits >= 96) return [address.toIPv4Address(), bits - 96];
  return [address, bits];
}

function contains([network, bits]: Network, address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (network instanceof ipaddr.IPv4) return address instanceof ipaddr.IPv4 && address.match(network, bits);
  return address instanceof ipaddr.IPv6 && address.match(network, bits);
}
