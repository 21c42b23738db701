import 'reflect-metadata';
import { RequestMethod, type OnModuleInit } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { OptionsError } from '@redstart/redis-core';
import { declaredRoutes, type DeclaredRoute } from './declared-routes.js';

/** What Nest's decorators leave on handlers and their classes: the same since Nest 5. */
const metadata = {
  method: 'method',
  path: 'path',
  arguments: '__routeArguments__',
  passthrough: '__responsePassthrough__',
} as const;
/** What takes the answer out of the interceptors' hands. */
const unsuitable = { '@Sse': '__sse__', '@Render': '__renderTemplate__', '@Redirect': '__redirect__' } as const;
/** Of Nest's RouteParamtypes, the response and `next`. */
const takesResponse = ['1', '2'];

/** A class that Nest builds. */
interface BuiltClass {
  readonly type: { readonly name: string; readonly prototype: object };
  readonly isController: boolean;
}

/**
 * The routes of one application whose responses one cache holds, by their handlers.
 *
 * They are known when Nest builds the application, before it connects its routes; what is wrong with them is told when it starts.
 */
export class CachedRoutes implements OnModuleInit {
  readonly #byHandler = new Map<unknown, DeclaredRoute>();
  readonly #declared: { readonly built: BuiltClass; readonly propertyKey: string }[] = [];

  constructor(modules: ModulesContainer, cache: string) {
    for (const built of classesOf(modules)) {
      const { prototype } = built.type;
      for (const route of declaredRoutes(prototype)) {
        const { propertyKey } = route;
        if (route.options.cache !== cache) continue;
        this.#declared.push({ built, propertyKey });
        this.#byHandler.set(Reflect.get(prototype, propertyKey), route);
      }
    }
  }

  get size(): number {
    return this.#byHandler.size;
  }

  routeOf(handler: unknown): DeclaredRoute | undefined {
    return this.#byHandler.get(handler);
  }

  /** @throws OptionsError that names the class and the method */
  onModuleInit(): void {
    const classes = new Map<string, unknown>();
    for (const { built, propertyKey } of this.#declared) {
      const { type } = built;
      const where = `@HttpCache on ${type.name}.${propertyKey}`;
      const problem = problemOf(built, propertyKey);
      if (problem !== undefined) throw new OptionsError(where, problem);
      const other = classes.get(type.name) ?? type;
      if (type.name === '' || other !== type) {
        throw new OptionsError(
          where,
          'its class needs a name that no other controller with @HttpCache has: responses of routes with one URL, such as two versions, would be mixed up.',
        );
      }
      classes.set(type.name, other);
    }
  }
}

function problemOf({ type, isController }: BuiltClass, propertyKey: string): string | undefined {
  const handler: unknown = Reflect.get(type.prototype, propertyKey);
  if (!isController || typeof handler !== 'function' || !Reflect.hasMetadata(metadata.path, handler)) {
    return 'this is no route, or another decorator has put a function without its metadata in its place.';
  }
  const method: unknown = Reflect.getMetadata(metadata.method, handler);
  if (method !== RequestMethod.GET && method !== RequestMethod.HEAD && method !== RequestMethod.ALL) {
    return 'only GET and HEAD are cached. Evict with @CacheEvict where others change something.';
  }
  for (const [decorator, key] of Object.entries(unsuitable)) {
    if (Reflect.hasMetadata(key, handler)) return `does not go with ${decorator}, which answers by itself.`;
  }
  const declared: unknown = Reflect.getMetadata(metadata.arguments, type, propertyKey);
  const taken = Object.keys(declared instanceof Object ? declared : {}).some((key) =>
    takesResponse.includes(key.split(':')[0] ?? ''),
  );
  return taken && Reflect.getMetadata(metadata.passthrough, type, propertyKey) !== true
    ? 'takes the response in its own hands, so nothing is there to be cached. Use @Res({ passthrough: true }).'
    : undefined;
}

function* classesOf(modules: ModulesContainer): Generator<BuiltClass> {
  for (const module of modules.values()) {
    for (const { metatype } of module.controllers.values())
      if (isClass(metatype)) yield { type: metatype, isController: true };
    for (const { metatype, inject } of module.providers.values()) {
      if (isClass(metatype) && !inject) yield { type: metatype, isController: false };
    }
  }
}

function isClass(type: unknown): type is BuiltClass['type'] {
  return typeof type === 'function' && typeof type.prototype === 'object' && type.prototype !== null;
}
