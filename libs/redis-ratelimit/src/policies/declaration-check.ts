import type { OnModuleInit, Type } from '@nestjs/common';
import { MetadataScanner, type ModulesContainer } from '@nestjs/core';
import { OptionsError } from '@redstart/redis-core';
import { callLimitsAt } from '../decorators/limit-calls.decorator.js';
import { limitsAt, methodsWithoutTheirDeclaration, skipsAt, type DeclaredLimit } from '../requests/declared-limits.js';
import { graphqlOptionsToken, handlerKinds, isGateway, type HandlerKind } from '../requests/handler-kinds.js';
import { propertyOf } from '../requests/properties.js';
import { RateLimitGuard } from '../requests/rate-limit.guard.js';
import { defaultKey, type ResolvedRateLimitOptions } from '../ratelimit.options.js';
import { UnknownPolicyError } from '../ratelimit.errors.js';
import { RateLimitService } from '../ratelimit.service.js';
import type { PolicyReference } from './policy-book.js';

interface Candidate {
  readonly type: Type;
  readonly controller: boolean;
}

/**
 * Looks at every class of the application when it boots, and fails the boot for a limit that would never apply: one that names no policy, stands where no
 * request passes, or was lost to another decorator. Also takes the policies written at decorators into the book, so that two of one name are found here.
 */
export class DeclarationCheck implements OnModuleInit {
  readonly #scanner = new MetadataScanner();
  readonly #modules: ModulesContainer;
  readonly #options: ResolvedRateLimitOptions;
  readonly #limiter: string;

  constructor(modules: ModulesContainer, options: ResolvedRateLimitOptions, limiter: string) {
    this.#modules = modules;
    this.#options = options;
    this.#limiter = limiter;
  }

  onModuleInit(): void {
    for (const candidate of this.#candidates()) {
      const { type } = candidate;
      if (limitsAt(type).length + skipsAt(type).length > 0) this.#checkClass(candidate);
      for (const name of methodsWithoutTheirDeclaration(type)) throw lostDeclaration(`${type.name}.${String(name)}`);
      for (const name of this.#scanner.getAllMethodNames(type.prototype as object)) this.#checkMethod(candidate, name);
      this.#checkGuards(type);
    }
  }

  #checkClass({ type, controller }: Candidate): void {
    const decorator = `@RateLimit or @SkipRateLimit on ${type.name}`;
    if (!controller && !isGateway(type)) {
      const kinds = this.#scanner.getAllMethodNames(type.prototype as object).flatMap((name) => {
        const method: unknown = Reflect.get(type.prototype as object, name);
        return typeof method === 'function' ? handlerKinds(type, method, controller) : [];
      });
      if (kinds.length === 0) {
        throw new OptionsError(
          decorator,
          'this class is no controller, gateway or resolver, so no request passes it. Use @LimitCalls on its methods.',
        );
      }
      if (kinds.every((kind) => kind === 'graphql-field')) this.#checkFieldGuards(decorator);
    }
    this.#checkNames(type, type.name);
  }

  #checkMethod({ type, controller }: Candidate, name: string): void {
    const method: unknown = Reflect.get(type.prototype as object, name);
    if (typeof method !== 'function') return;
    const where = `${type.name}.${name}`;
    for (const { policy, limiter } of callLimitsAt(method)) {
      if (limiter === this.#limiter) this.#resolve(policy, `@LimitCalls on ${where}`);
    }
    const kinds = handlerKinds(type, method, controller);
    if (limitsAt(method).length + skipsAt(method).length > 0) {
      const decorator = `@RateLimit or @SkipRateLimit on ${where}`;
      if (kinds.length === 0) {
        throw new OptionsError(
          decorator,
          'this method is no HTTP, GraphQL, WebSocket or message handler, so no request passes it. Use @LimitCalls.',
        );
      }
      if (kinds.includes('graphql-field')) this.#checkFieldGuards(decorator);
      this.#checkNames(method, where);
    }
    this.#checkKeys([...limitsAt(type), ...limitsAt(method)], kinds, where);
  }

  /** Our guard by itself limits nothing: whoever writes it where there is no limit believes that there is one. */
  #checkGuards(type: Type): void {
    const names = this.#scanner.getAllMethodNames(type.prototype as object);
    const methods = names.flatMap((name): [string, object][] => {
      const method: unknown = Reflect.get(type.prototype as object, name);
      return typeof method === 'function' ? [[`${type.name}.${name}`, method]] : [];
    });
    const limits = methods.flatMap(([, method]) => limitsAt(method));
    const bare = methods
      .filter(([, method]) => isGuarded(method) && limitsAt(method).length === 0)
      .map(([where]) => where);
    if (isGuarded(type) && limits.length === 0) bare.push(type.name);
    if (
      bare.length === 0 ||
      limitsAt(type).length > 0 ||
      this.#services().some(({ options }) => options.global.length > 0)
    ) {
      return;
    }
    throw new OptionsError(
      `@UseGuards(RateLimitGuard) on ${bare.join(', ')}`,
      "limits nothing by itself. Say what the limit is: @RateLimit('name') brings the guard along.",
    );
  }

  /** A message has neither a user nor an address, so the key that all others share would refuse every one. */
  #checkKeys(limits: readonly DeclaredLimit[], kinds: readonly HandlerKind[], where: string): void {
    if (!kinds.includes('rpc') || this.#options.key !== defaultKey || this.#options.anonymous !== 'refuse') return;
    const keyless = limits.find(
      ({ limiter, key, anonymous = 'refuse' }) =>
        limiter === this.#limiter && key === undefined && anonymous === 'refuse',
    );
    if (keyless === undefined) return;
    throw new OptionsError(
      `@RateLimit on ${where}`,
      `counts messages of a microservice by user or ip, and they have neither. Say by what: { key: ({ data }) => … }.`,
    );
  }

  #checkFieldGuards(decorator: string): void {
    const options = [...this.#modules.values()].flatMap((module) => {
      const instance: unknown = module.providers.get(graphqlOptionsToken)?.instance;
      return instance === undefined ? [] : [instance];
    });
    const guarded = options.every((option) => {
      const enhancers = propertyOf(option, 'fieldResolverEnhancers');
      return Array.isArray(enhancers) && enhancers.includes('guards');
    });
    if (guarded) return;
    throw new OptionsError(
      decorator,
      "Nest runs no guards at resolvers of fields and references, so it would not apply. Set GraphQLModule.forRoot({ fieldResolverEnhancers: ['guards'] }), or use @LimitCalls.",
    );
  }

  #checkNames(place: object, where: string): void {
    for (const { policy, limiter, anonymous } of limitsAt(place)) {
      if (limiter !== this.#limiter) continue;
      this.#resolve(policy, `@RateLimit on ${where}`);
      const other = typeof anonymous === 'object' ? anonymous.policy : undefined;
      if (other !== undefined) this.#resolve({ name: other }, `@RateLimit on ${where}, anonymous`);
    }
    const known = this.#namesOfAllModules();
    for (const name of skipsAt(place).flat()) {
      if (!known.includes(name)) throw new UnknownPolicyError(name, known, `@SkipRateLimit on ${where}`);
    }
  }

  /** A skip names a policy of whichever module has it. */
  #namesOfAllModules(): string[] {
    return this.#services().flatMap((service) => service.options.policies.names);
  }

  #services(): RateLimitService[] {
    const instances = [...this.#modules.values()].flatMap((module) =>
      [...module.providers.values()].map(({ instance }): unknown => instance),
    );
    return [
      ...new Set(instances.filter((instance): instance is RateLimitService => instance instanceof RateLimitService)),
    ];
  }

  #resolve(policy: PolicyReference, where: string): void {
    if (policy.inline === undefined && !this.#options.policies.names.includes(policy.name)) {
      throw new UnknownPolicyError(policy.name, this.#options.policies.names, where);
    }
    this.#options.policies.register(policy);
  }

  #candidates(): Candidate[] {
    return [...this.#modules.values()].flatMap((module) => [
      ...[...module.controllers.values()].flatMap((wrapper) => candidateOf(wrapper, true)),
      ...[...module.providers.values()].flatMap((wrapper) => candidateOf(wrapper, false)),
    ]);
  }
}

/** Under what `@UseGuards` leaves them: the same since Nest 5. */
const guardsKey = '__guards__';

function isGuarded(place: object): boolean {
  const guards: unknown = Reflect.getMetadata(guardsKey, place);
  return Array.isArray(guards) && guards.includes(RateLimitGuard);
}

/** Guards are found by metadata of the function that Nest calls, and this one has none of it. */
function lostDeclaration(where: string): OptionsError {
  return new OptionsError(
    `@RateLimit or @SkipRateLimit on ${where}`,
    'another decorator above it has put a function of its own in place of the method, without its metadata, so it would ' +
      'not apply. Put @RateLimit on top of that decorator, or let that one copy the metadata.',
  );
}

/** The class of a provider: its own, or that of what its factory has made. */
function candidateOf(
  wrapper: { metatype: unknown; inject?: unknown; instance: unknown },
  controller: boolean,
): Candidate[] {
  const { metatype, inject, instance } = wrapper;
  // `inject` tells a factory, whose metatype is the factory itself.
  if (isClass(metatype) && inject === undefined) return [{ type: metatype, controller }];
  const made: unknown = typeof instance === 'object' && instance !== null ? instance.constructor : undefined;
  return isClass(made) && made !== Object ? [{ type: made, controller }] : [];
}

function isClass(value: unknown): value is Type {
  return typeof value === 'function' && typeof value.prototype === 'object' && value.prototype !== null;
}
