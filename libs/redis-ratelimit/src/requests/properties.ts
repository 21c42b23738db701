/** A property of what may be no object at all. */
export function propertyOf(value: unknown, name: string): unknown {
  return isObject(value) ? Reflect.get(value, name) : undefined;
}

/** The first of these that is an object. */
export function firstObject(...values: readonly unknown[]): object | undefined {
  return values.find(isObject);
}

export function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}
