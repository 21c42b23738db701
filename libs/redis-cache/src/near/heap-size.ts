import { types } from 'node:util';

/** An object takes up to so much of the heap for each byte of its JSON: names, texts and numbers. */
const perByte = 2;
/** What things take beside what is in them, however short their JSON is. By measurement on Node 20, as {@link perByte}. */
const perObject = 64;
const perArray = 40;
const perCollection = 176;
const perItem = 48;
const perOther = 112;
/** Objects of more fields are taken for tables, whose names no other object has: then the names and their order are kept as well. */
const mostFields = 32;
const perNamedField = 128;

/**
 * About how much of the heap a value takes that the codec has read.
 *
 * @param bytes of its JSON
 */
export function heapSize(value: unknown, bytes: number): number {
  return bytes * perByte + sizeOfThings(value);
}

function sizeOfThings(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (Array.isArray(value)) return perArray + sumOf(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) {
    const fields = Object.values(value);
    return perObject + (fields.length > mostFields ? fields.length * perNamedField : 0) + sumOf(fields);
  }
  if (types.isMap(value)) return perCollection + value.size * perItem + sumOf(value.keys()) + sumOf(value.values());
  if (types.isSet(value)) return perCollection + value.size * perItem + sumOf(value);
  return perOther;
}

function sumOf(values: Iterable<unknown>): number {
  let sum = 0;
  for (const value of values) sum += sizeOfThings(value);
  return sum;
}
