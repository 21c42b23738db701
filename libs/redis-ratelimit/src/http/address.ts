import { isIP } from 'node:net';

/** Prefixes under which an IPv6 address only wraps an IPv4 one: IPv4-mapped, and NAT64 (RFC 6052). */
const wrappers = ['0:0:0:0:0:ffff', '64:ff9b:0:0:0:0'];

/**
 * What one client is told apart by: an IPv4 address as it is, of an IPv6 address its /64, of an IPv4 address inside an IPv6 one the former.
 *
 * @param ip what the framework found; a text that is no address is returned as it is
 * @example  subnetOf('2001:db8:1:2::1') // '2001:db8:1:2::/64'   subnetOf('::ffff:192.0.2.1') // '192.0.2.1'
 */
export function subnetOf(ip: string): string {
  const [address = ip] = ip.split('%', 1);
  if (isIP(address) !== 6) return ip;
  const groups = groupsOf(address);
  if (wrappers.includes(groups.slice(0, 6).join(':'))) return ipv4Of(groups);
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** The eight groups of a valid IPv6 address, without leading zeros. */
function groupsOf(address: string): string[] {
  // The URL parser writes every form of an address, a dotted tail included, in the one of RFC 5952.
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  return [...front, ...Array<string>(8 - front.length - back.length).fill('0'), ...back];
}

function ipv4Of(groups: readonly string[]): string {
  const bytes = groups.slice(6).flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
  return bytes.join('.');
}
