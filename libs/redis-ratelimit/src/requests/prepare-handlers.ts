import type { Type } from '@nestjs/common';
import { MetadataScanner, type ApplicationConfig, type ModulesContainer } from '@nestjs/core';
import type { PolicyReference } from '../policies/policy-book.js';
import type { ResolvedRateLimitOptions } from '../ratelimit.options.js';
import type { AnonymousRule } from './anonymous.js';
import { interceptEnd, interceptFirst } from './call-end.interceptor.js';
import { limitsAt, type DeclaredLimit } from './declared-limits.js';
import type { ResolvedGlobalPolicy } from './global-policies.js';
import { handlerKinds, isGateway, type HandlerKind } from './handler-kinds.js';
import { rememberHandshakes } from './handshakes.js';
import { interceptSlot } from './slot.interceptor.js';

/**
 * Has gateways remember the handshakes of their connections, limited handlers without an HTTP response tell when they end, and those with slots know theirs.
 *
 * To be called while Nest builds the application: right after that it connects gateways and message handlers.
 */
export function prepareHandlers(
  modules: ModulesContainer,
  config: ApplicationConfig,
  options: ResolvedRateLimitOptions,
  limiter: string,
): void {
  const { global } = options;
  const scanner = new MetadataScanner();
  for (const { type, controller } of [...modules.values()].flatMap(classesOf)) {
    const prototype: unknown = type.prototype;
    if (typeof prototype !== 'object' || prototype === null) continue;
    if (isGateway(type)) rememberHandshakes(prototype);
    for (const name of scanner.getAllMethodNames(prototype)) {
      const method: unknown = Reflect.get(prototype, name);
      if (typeof method !== 'function') continue;
      const kinds = handlerKinds(type, method, controller);
      if (kinds.length === 0) continue;
      const declared = [...limitsAt(type), ...limitsAt(method)];
      const everywhere = global.filter((policy) => kinds.some((kind) => isOn(kind, policy)));
      const limited = declared.length > 0 || everywhere.length > 0;
      if (limited && kinds.some((kind) => kind !== 'http')) interceptEnd(prototype, name, { value: method });
      if (limited && kinds.some((kind) => kind === 'ws' || kind === 'rpc')) interceptFirst(type, config);
      const own = declared.filter((limit) => limit.limiter === limiter);
      if (mayHaveSlots([...own, ...everywhere.map(globalLimit)], options)) interceptSlot(prototype, name, method);
    }
  }
}

function isOn(kind: HandlerKind, { on }: ResolvedGlobalPolicy): boolean {
  return on.includes(kind === 'graphql-field' ? 'graphql' : kind);
}

type SlotHolder = Pick<DeclaredLimit, 'policy' | 'anonymous'>;

function globalLimit({ policy }: ResolvedGlobalPolicy): SlotHolder {
  return { policy: { name: policy }, anonymous: undefined };
}

/** Also by the policy of those who have no identity. */
function mayHaveSlots(limits: readonly SlotHolder[], { policies, anonymous }: ResolvedRateLimitOptions): boolean {
  return limits.some(({ policy, anonymous: own }) =>
    [policy, ...referencesOf(own ?? anonymous)].some((reference) => policies.mayHaveSlots(reference)),
  );
}

function referencesOf(rule: AnonymousRule): PolicyReference[] {
  return rule === 'refuse' || rule.policy === undefined ? [] : [{ name: rule.policy }];
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
