import 'reflect-metadata';
import type { OnModuleInit } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { OptionsError } from '@redstart/redis-core';
import { keylessOf, type KeylessMethod } from './keyless.js';

/** A class that Nest builds, as its containers describe it. */
interface BuiltClass {
  readonly type: { readonly name: string; readonly prototype: object };
  readonly isController: boolean;
  readonly isRequestScoped: boolean;
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
    for (const built of this.#classes()) {
      const methods = keylessOf(built.type.prototype).filter(({ cache }) => cache === this.cache);
      if (methods.length === 0) continue;
      for (const method of methods) refuseUnsafe(built, method);
      const { name } = built.type;
      const other = classes.get(name) ?? built.type;
      if (name === '' || other !== built.type) throw ambiguous(name, methods);
      classes.set(name, other);
    }
  }

  *#classes(): Generator<BuiltClass> {
    for (const module of this.modules.values()) {
      for (const [wrappers, isController] of [
        [module.providers, false],
        [module.injectables, false],
        [module.controllers, true],
      ] as const) {
        for (const wrapper of wrappers.values()) {
          const type: unknown = wrapper.metatype;
          // A factory is no class, and what it returns is not bound to the cache.
          if (!isClass(type) || wrapper.inject) continue;
          yield { type, isController, isRequestScoped: !wrapper.isDependencyTreeStatic() };
        }
      }
    }
  }
}

function refuseUnsafe({ type, isController, isRequestScoped }: BuiltClass, method: KeylessMethod): void {
  const where = `@Cacheable on ${type.name}.${method.propertyKey}`;
  const remedy =
    'Give @Cacheable a key that holds what tells the callers apart, or a constant one if all may see the same.';
  if (isRequestScoped) {
    throw new OptionsError(
      where,
      `has no key, but ${type.name} is request-scoped: its result may depend on the request. ${remedy}`,
    );
  }
  if (isController && !hasParameters(method)) {
    throw new OptionsError(
      where,
      `has no key, and the method no parameters: every caller would get the same answer. ${remedy}`,
    );
  }
}

function ambiguous(name: string, [method]: readonly KeylessMethod[]): OptionsError {
  return new OptionsError(
    `@Cacheable on ${name === '' ? 'an anonymous class' : name}.${method?.propertyKey ?? ''}`,
    `has no key, and ${name === '' ? 'the class no name' : `there are two classes called ${name}`}: their entries would be mixed up. Give it a key.`,
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
