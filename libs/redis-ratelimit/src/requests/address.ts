import ipaddr from 'ipaddr.js';

/** Prefixes under which an IPv6 address only wraps an IPv4 one besides `::ffff:0:0/96`: NAT64 (RFC 6052). */
const nat64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96');

/**
 * What one client is told apart by: an IPv4 address as it is, of an IPv6 address its /64, of an IPv4 address inside an IPv6 one the former.
 *
 * @param ip what the framework found; a text that is no address is returned as it is
 * @example  subnetOf('2001:db8:1:2::1') // '2001:db8:1:2::/64'   subnetOf('::ffff:192.0.2.1') // '192.0.2.1'
 */
export function subnetOf(ip: string): string {
  const [unzoned = ip] = ip.split('%', 1);
  if (!ipaddr.IPv6.isValid(unzoned)) return ip;
  const address = ipaddr.IPv6.parse(unzoned);
  if (address.isIPv4MappedAddress()) return address.toIPv4Address().toString();
  if (address.match(nat64)) return new ipaddr.IPv4(address.toByteArray().slice(12)).toString();
  const groups = address.parts.slice(0, 4).map((group) => group.toString(16));
  return `${groups.join(':')}::/64`;
}
