import 'reflect-metadata';
import type { OnModuleInit } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { OptionsError } from '@redstart/redis-core';
import { cacheConfigOf } from './cache-config.js';
import { keylessOf, type KeylessMethod } from './keyless.js';

/** A class that Nest builds, as its containers describe it. */
interface BuiltClass {
  readonly type: { readonly name: string; readonly prototype: object };
  readonly isController: boolean;
  readonly isRequestScoped: boolean;
  /** Each that injects it has an instance of its own. */
  readonly isTransient: boolean;
  /** Guards and the like are built once more in each module that uses them. */
  readonly isEnhancer: boolean;
}

/**
 * Refuses to boot where a default key could hand one user's data to another: a key is made of the class's name, the method and its arguments, and
 * nothing else.
 */
export class KeylessCheck implements OnModuleInit {
  constructor(
    private readonly modules: ModulesContainer,
    private readonly cache: string,
  ) {}

  /** @throws OptionsError that names the class and the method */
  onModuleInit(): void {
    const classes = new Map<string, unknown>();
    const provided = new Set<unknown>();
    for (const built of this.#classes()) {
      const methods = keylessOf(built.type.prototype).filter(({ cache }) => cache === this.cache);
      const isProvidedAgain = !built.isEnhancer && provided.has(built.type);
      if (!built.isEnhancer) provided.add(built.type);
      for (const method of methods) {
        if (!method.varies && isProvidedAgain) throw providedTwice(built.type.name, method);
        if (!method.varies) refuseUnsafe(built, method);
        const { type } = built;
        const id = `${method.namespace ?? cacheConfigOf(type).namespace ?? ''} ${type.name}`;
        const other = classes.get(id) ?? type;
        if (type.name === '' || other !== type) throw ambiguous(type.name, method);
        classes.set(id, other);
      }
    }
  }

  *#classes(): Generator<BuiltClass> {
    for (const module of this.modules.values()) {
      for (const [wrappers, isController, isEnhancer] of [
        [module.providers, false, false],
        [module.injectables, false, true],
        [module.controllers, true, false],
      ] as const) {
        for (const wrapper of wrappers.values()) {
          const type: unknown = wrapper.metatype;
          // A factory is no class, and what it returns is not bound to the cache.
          if (!isClass(type) || wrapper.inject) continue;
          const isRequestScoped = !wrapper.isDependencyTreeStatic();
          yield { type, isController, isRequestScoped, isTransient: wrapper.isTransient, isEnhancer };
        }
      }
    }
  }
}

function refuseUnsafe({ type, isController, isRequestScoped, isTransient }: BuiltClass, method: KeylessMethod): void {
  const where = `@Cacheable on ${type.name}.${method.propertyKey}`;
  const remedy =
    'Give @Cacheable a varyBy, or a key that holds what tells the callers apart, or a constant one if all may see the same.';
  if (isRequestScoped) {
    throw new OptionsError(
      where,
      `has no key, but ${type.name} is request-scoped: its result may depend on the request. ${remedy}`,
    );
  }
  if (isTransient) {
    throw new OptionsError(
      where,
      `has no key, but ${type.name} is transient: its result may depend on who injects it. ${remedy}`,
    );
  }
  if (isController && !hasParameters(method)) {
    throw new OptionsError(
      where,
      `has no key, and the method no parameters: every caller would get the same answer. ${remedy}`,
    );
  }
}

function providedTwice(name: string, { propertyKey }: KeylessMethod): OptionsError {
  return new OptionsError(
    `@Cacheable on ${name}.${propertyKey}`,
    `has no key, and ${name} is provided twice: its instances may differ, and their entries would be mixed up. Provide it once, in a module that exports it, or give @Cacheable a varyBy, or a key.`,
  );
}

function ambiguous(name: string, { propertyKey }: KeylessMethod): OptionsError {
  return new OptionsError(
    `@Cacheable on ${name === '' ? 'an anonymous class' : name}.${propertyKey}`,
    `has no key, and ${name === '' ? 'the class no name' : `there are two classes called ${name}`}: their entries would be mixed up. Give it a key, or the class a namespace with @CacheConfig.`,
  );
}

/** TypeScript's metadata know parameters with defaults, which `length` leaves out. */
function hasParameters({ declaredOn, propertyKey }: KeylessMethod): boolean {
  const declared: unknown = Reflect.getOwnMetadata('design:paramtypes', declaredOn, propertyKey);
  if (Array.isArray(declared)) return declared.length > 0;
  const method: unknown = Reflect.get(declaredOn, propertyKey);
  return typeof method === 'function' && method.length > 0;
}

function isClass(type: unknown): type is BuiltClass['type'] {
  return typeof type === 'function' && typeof type.prototype === 'object' && type.prototype !== null;
}
