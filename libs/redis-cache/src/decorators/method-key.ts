import {
  encodeSubject,
  InvalidKeyError,
  type Key,
  type KeyOf,
  type KeyPart,
  type MethodCall,
} from '@redstart/redis-core';
import { argumentsKey } from './arguments-key.js';

/** What tells calls apart beyond their arguments, read from the instance or from anywhere else. */
export type VaryBy<S extends object> = (instance: S) => Key;

/** Names the declaring class, too: an override and the method it calls through `super` are two methods of one name. */
export function defaultKey({ className, declaringClass, methodName, args }: MethodCall): KeyPart[] {
  const owner = className === declaringClass ? className : `${className}<${declaringClass}`;
  return [owner, methodName, argumentsKey(`${className}.${methodName}`, args)];
}

/** A key with one part more, which holds all that `varyBy` says: however it is built, no two of them meet. @throws InvalidKeyError */
export function varied(key: Key, variant: Key): Key {
  return [...partsOf(key), encodeSubject(variant)];
}

/** @throws InvalidKeyError when it can't be a key or a tag: to be known before anything has happened that can't be undone */
export function checkKey(key: unknown): asserts key is Key {
  // It refuses whatever is no key.
  encodeSubject(key as Key);
}

/** Keys or tags, as they are written in a decorator or read from the arguments. @throws InvalidKeyError */
export function keysOf(
  source: readonly Key[] | KeyOf<unknown[], readonly Key[]> | undefined,
  args: unknown[],
  where: string,
): readonly Key[] {
  const keys: unknown = typeof source === 'function' ? source(...args) : (source ?? none);
  if (!Array.isArray(keys)) throw new InvalidKeyError(`${where} has to be an array, of which each item is a key.`);
  return keys.map((key: unknown) => {
    checkKey(key);
    return key;
  });
}

const none: readonly Key[] = Object.freeze([]);

/** `'a:b'` is `['a', 'b']` by definition. */
function partsOf(key: Key): readonly KeyPart[] {
  if (typeof key === 'string') return key.split(':');
  return typeof key === 'object' ? key : [key];
}
