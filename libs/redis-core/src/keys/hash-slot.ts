/** CRC-16/XMODEM (polynomial 0x1021), one step per byte: what Redis Cluster uses. */
const crcOfByte = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc & 0xffff;
});

/**
 * The cluster slot of a key, 0 to 16383.
 *
 * Only the hash tag counts when there is one: the text between the first `{` and the first `}` after it, unless it is empty.
 *
 * @example  hashSlot('shop:lock:{order:42}') === hashSlot('shop:lock:{order:42}:fence') // true
 * @see https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
 */
export function hashSlot(key: string): number {
  const tagged = hashTag(key);
  let crc = 0;
  for (let i = 0; i < tagged.length; i++) {
    const code = tagged.charCodeAt(i);
    if (code > 0x7f) return crc16(Buffer.from(tagged)) & 0x3fff;
    crc = step(crc, code);
  }
  return crc & 0x3fff;
}

function hashTag(key: string): string {
  const open = key.indexOf('{');
  if (open === -1) return key;
  const close = key.indexOf('}', open + 1);
  return close <= open + 1 ? key : key.slice(open + 1, close);
}

function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) crc = step(crc, byte);
  return crc;
}

function step(crc: number, byte: number): number {
  // The index is always 0..255; the fallback only satisfies the type.
  return ((crc << 8) & 0xffff) ^ (crcOfByte[(crc >> 8) ^ byte] ?? 0);
}
