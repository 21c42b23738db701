import type { Type } from '@nestjs/common';
import { MetadataScanner, type ModulesContainer } from '@nestjs/core';
import { interceptEnd } from './call-end.interceptor.js';
import { limitsAt } from './declared-limits.js';
import type { ResolvedGlobalPolicy } from './global-policies.js';
import { handlerKinds, isGateway, type HandlerKind } from './handler-kinds.js';
import { rememberHandshakes } from './handshakes.js';

/**
 * Has gateways remember the handshakes of their connections, and limited handlers without an HTTP response tell when they end.
 *
 * To be called while Nest builds the application: right after that it connects gateways and message handlers.
 */
export function prepareHandlers(modules: ModulesContainer, global: readonly ResolvedGlobalPolicy[]): void {
  const scanner = new MetadataScanner();
  for (const { type, controller } of [...modules.values()].flatMap(classesOf)) {
    const prototype: unknown = type.prototype;
    if (typeof prototype !== 'object' || prototype === null) continue;
    if (isGateway(type)) rememberHandshakes(prototype);
    for (const name of scanner.getAllMethodNames(prototype)) {
      const method: unknown = Reflect.get(prototype, name);
      if (typeof method !== 'function') continue;
      const kinds = handlerKinds(type, method, controller).filter((kind) => kind !== 'http');
      const limited =
        [...limitsAt(type), ...limitsAt(method)].length > 0 || kinds.some((kind) => isGlobal(kind, global));
      if (kinds.length > 0 && limited) interceptEnd(prototype, name, { value: method });
    }
  }
}

function isGlobal(kind: HandlerKind, global: readonly ResolvedGlobalPolicy[]): boolean {
  const transport = kind === 'graphql-field' ? 'graphql' : kind;
  return global.some(({ on }) => on.includes(transport));
}

interface Wrapper {
  readonly metatype: unknown;
}

function classesOf(module: {
  readonly controllers: ReadonlyMap<unknown, Wrapper>;
  readonly providers: ReadonlyMap<unknown, Wrapper>;
}): { readonly type: Type; readonly controller: boolean }[] {
  const of = (wrappers: ReadonlyMap<unknown, Wrapper>, controller: boolean) =>
    [...wrappers.values()].flatMap(({ metatype }) => (isClass(metatype) ? [{ type: metatype, controller }] : []));
  return [...of(module.controllers, true), ...of(module.providers, false)];
}

function isClass(value: unknown): value is Type {
  return typeof value === 'function';
}
