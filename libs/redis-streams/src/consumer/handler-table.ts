import { OptionsError } from '@redstart/redis-core';
import type { HandlerMetadata } from '../decorators/handler-metadata.js';
import type { StreamDefinition } from '../definition/define-stream.js';

/** The pattern of `@DefaultStreamHandler`. */
const anything = '*';

/** A handler in a table: which types it is for, and who it is. */
interface Entry {
  readonly pattern: string;
  readonly name: string;
}

/**
 * Finds the handler of a type: the one of the event itself, otherwise that of the longest pattern that matches.
 */
export class HandlerTable<Handler extends Entry> {
  readonly #byType = new Map<string, Handler>();
  /** The longest first. */
  readonly #patterns: { readonly matches: RegExp; readonly handler: Handler }[];

  constructor(stream: StreamDefinition, handlers: readonly Handler[]) {
    this.#patterns = handlers
      .filter(({ pattern }) => pattern.includes('*'))
      .toSorted((a, b) => b.pattern.length - a.pattern.length)
      .map((handler) => ({ matches: expressionOf(handler.pattern), handler }));
    for (const type of Object.keys(stream.events)) {
      const handler = handlers.find(({ pattern }) => pattern === type) ?? this.#matching(type);
      if (handler !== undefined) this.#byType.set(type, handler);
    }
  }

  find(type: string): Handler | undefined {
    return this.#byType.get(type) ?? this.#matching(type);
  }

  #matching(type: string): Handler | undefined {
    return this.#patterns.find(({ matches }) => matches.test(type))?.handler;
  }
}

/** @throws OptionsError for two handlers of the same, a pattern that matches no event of the stream, two patterns of one length that match one event */
export function checkPatterns(
  stream: StreamDefinition,
  handlers: readonly (HandlerMetadata & { readonly name: string })[],
): void {
  const types = Object.keys(stream.events);
  const seen = new Map<string, string>();
  for (const { pattern, name } of handlers) {
    const other = seen.get(pattern);
    if (other !== undefined) {
      throw new OptionsError(name, `handles "${pattern}", as ${other} does. An event has one handler per group.`);
    }
    seen.set(pattern, name);
    if (pattern === anything || types.some((type) => expressionOf(pattern).test(type))) continue;
    throw new OptionsError(
      name,
      `handles "${pattern}", and the stream "${stream.name}" has no such event. Known events: ${types.join(', ')}.`,
    );
  }
  for (const type of types) refuseTie(type, handlers);
}

function refuseTie(type: string, handlers: readonly { readonly pattern: string; readonly name: string }[]): void {
  if (handlers.some(({ pattern }) => pattern === type)) return;
  const matching = handlers.filter(({ pattern }) => expressionOf(pattern).test(type));
  const longest = Math.max(...matching.map(({ pattern }) => pattern.length));
  const [first, second] = matching.filter(({ pattern }) => pattern.length === longest);
  if (first === undefined || second === undefined) return;
  throw new OptionsError(
    second.name,
    `handles "${type}" by "${second.pattern}", as ${first.name} does by "${first.pattern}": neither is the longer pattern. An event has one handler per group.`,
  );
}

/** `*` stands for any text, everything else for itself. */
function expressionOf(pattern: string): RegExp {
  const literal = (text: string) => text.replace(/[\\^$.|?+()[\]{}]/g, '\\$&');
  return new RegExp(`^${pattern.split('*').map(literal).join('.*')}$`, 's');
}
