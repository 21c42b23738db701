import type { CodecLimits } from './limits.js';

/** What {@link isPlainJson} may still visit: a container takes two bytes at least, so more of them would be too large anyway. */
let containersLeft = 0;

/**
 * Whether `JSON.stringify` writes this value so that `JSON.parse` gives the same back. `false` also for what has to be refused: the thorough
 * `writeTagged` then says why.
 *
 * This runs before every write, so it is written for speed: primitives are tested in the loop of their container, without a call for each.
 */
export function isPlainJson(value: unknown, { maxDepth, maxBytes }: CodecLimits): boolean {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return true;
  if (typeof value === 'number') return isExact(value);
  if (typeof value !== 'object') return false;
  containersLeft = maxBytes / 2;
  return isPlainContainer(value, maxDepth);
}

function isPlainContainer(container: object, depthLeft: number): boolean {
  if (depthLeft === 0 || --containersLeft < 0) return false;
  if (Array.isArray(container)) {
    const items: readonly unknown[] = container;
    for (let i = 0; i < items.length; i++) {
      const item = items[i];
      if (typeof item === 'string' || typeof item === 'boolean' || item === null) continue;
      if (typeof item === 'number') {
        if (!isExact(item)) return false;
      } else if (typeof item !== 'object' || !isPlainContainer(item, depthLeft - 1)) return false;
    }
    return true;
  }
  if (!isPlainObject(container)) return false;
  for (const key in container) {
    const item = container[key];
    if (typeof item === 'string' || typeof item === 'boolean' || item === null) continue;
    if (typeof item === 'number') {
      if (!isExact(item)) return false;
    } else if (typeof item !== 'object' || !isPlainContainer(item, depthLeft - 1)) return false;
  }
  return true;
}

/** Whether JSON has this number: it knows neither `NaN` nor the infinities nor `-0`. */
function isExact(value: number): boolean {
  return value - value === 0 && (value !== 0 || 1 / value > 0);
}

/** Whether this is an object literal, or an object without a prototype: no class, whose instances need a closer look. */
function isPlainObject(value: object): value is Readonly<Record<string, unknown>> {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Whether a key of this JSON text may read `__proto__`, in plain letters or with escaped ones. A cheap first look. */
export function mayHideProto(text: string): boolean {
  return text.includes('__proto__') || text.includes('\\u00');
}

/** Whether parsed JSON keeps to the depth and holds no `__proto__` key, which a careless merge would turn into a prototype. */
export function isTrusted(value: unknown, maxDepth: number): boolean {
  return !isContainer(value) || isTrustedContainer(value, maxDepth);
}

function isTrustedContainer(container: Container, depthLeft: number): boolean {
  if (depthLeft === 0) return false;
  if (isArray(container)) {
    for (let i = 0; i < container.length; i++) {
      const item = container[i];
      if (isContainer(item) && !isTrustedContainer(item, depthLeft - 1)) return false;
    }
    return true;
  }
  for (const key in container) {
    if (key === '__proto__') return false;
    const item = container[key];
    if (isContainer(item) && !isTrustedContainer(item, depthLeft - 1)) return false;
  }
  return true;
}

/** What parsed JSON is made of, primitives aside. */
type Container = readonly unknown[] | Readonly<Record<string, unknown>>;

function isContainer(value: unknown): value is Container {
  return typeof value === 'object' && value !== null;
}

function isArray(container: Container): container is readonly unknown[] {
  return Array.isArray(container);
}
