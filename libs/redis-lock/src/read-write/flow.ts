import { framesAround, type NestingHost } from '../reentrancy/frames.js';

export interface HeldSide {
  readonly side: 'read' | 'write';
  readonly owner: string;
}

/** Which side of a read/write lock the running flow of calls holds, by `withRead` or `withWrite`; after a downgrade it is the read side. */
export function sideHeldInFlow(host: NestingHost, key: string): HeldSide | undefined {
  for (const { lock, side, ended } of framesAround()) {
    const held = lock?.current;
    if (ended || side?.host !== host || held?.key !== key || !held.isHeld) continue;
    return { side: side.isWriter(held) ? 'write' : 'read', owner: side.owner };
  }
  return undefined;
}
