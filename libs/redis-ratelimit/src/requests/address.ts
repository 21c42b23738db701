import ipaddr from 'ipaddr.js';

/** Prefixes under which an IPv6 address only wraps an IPv4 one besides `::ffff:0:0/96`: NAT64 (RFC 6052), and the lowest /96 of its local-use prefix (RFC 8215). */
const nat64 = ['64:ff9b::/96', '64:ff9b:1::/96'].map((prefix) => ipaddr.IPv6.parseCIDR(prefix));
/** Where the rest of the local-use prefix holds the IPv4 address is the operator's choice, and nobody outside has an address in it: each counts by itself. */
const nat64Local = ipaddr.IPv6.parseCIDR('64:ff9b:1::/48');

/** How much of an IPv6 address one client commands, at least: providers give out a /64 or more. */
export const defaultIpv6Prefix = 64;

/**
 * What one client is told apart by: an IPv4 address as it is, of an IPv6 address its /64, of an IPv4 address inside an IPv6 one the former.
 *
 * @param ip what the framework found; a text that is no address is returned as it is
 * @example  subnetOf('2001:db8:1:2::1') // '2001:db8:1:2::/64'   subnetOf('::ffff:192.0.2.1') // '192.0.2.1'
 */
export function subnetOf(ip: string, ipv6Prefix = defaultIpv6Prefix): string {
  const address = parseAddress(ip);
  if (address === undefined) return ip;
  if (address instanceof ipaddr.IPv4) return address.toString();
  const length = address.match(nat64Local) ? 128 : ipv6Prefix;
  const groups = address.parts.map((group, index) => {
    const bits = Math.min(16, Math.max(0, length - index * 16));
    return (group & (0xffff << (16 - bits)) & 0xffff).toString(16);
  });
  const shown = groups.slice(0, Math.ceil(length / 16));
  return `${shown.join(':')}${shown.length < groups.length ? '::' : ''}/${length}`;
}

/** An address without its zone, and an IPv4 address without the IPv6 one around it; `undefined` for what is no address. */
export function parseAddress(ip: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  const [unzoned = ip] = ip.split('%', 1);
  if (ipaddr.IPv4.isValidFourPartDecimal(unzoned)) return ipaddr.IPv4.parse(unzoned);
  if (!ipaddr.IPv6.isValid(unzoned)) return undefined;
  const address = ipaddr.IPv6.parse(unzoned);
  if (address.isIPv4MappedAddress()) return address.toIPv4Address();
  if (nat64.some((prefix) => address.match(prefix))) return new ipaddr.IPv4(address.toByteArray().slice(12));
  return address;
}
