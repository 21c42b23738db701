import {
  Module,
  type DynamicModule,
  type FactoryProvider,
  type ModuleMetadata,
  type Provider,
  type Type,
} from '@nestjs/common';
import type { InjectionToken } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { checkKnownKeys, OptionsError } from '@redstart/redis-core';
import type { CacheService } from '../cache.service.js';
import { getCacheToken } from '../cache.tokens.js';
import type { CacheSource } from './cache-source.js';
import type { CacheDefinition, SomeCacheDefinition } from './define-cache.js';
import { DefinedCache } from './defined-cache.js';

/** Where the values of a defined cache come from. Exactly one of `useFactory`, `useClass`, `useExisting`. */
export interface SourceProvision<Source> extends Pick<ModuleMetadata, 'imports'> {
  inject?: FactoryProvider['inject'];
  // The arguments are what `inject` names, which the type system of Nest can't follow.
  useFactory?: (...dependencies: never[]) => Source | Promise<Source>;
  /** A class with such methods, of which Nest makes an instance for this. */
  useClass?: Type<Source>;
  /** The token of a provider with such methods: a repository itself. */
  useExisting?: InjectionToken<Source>;
}

type IdOf<Definition> = Definition extends CacheDefinition<infer Id, infer _> ? Id : never;
type ValueOf<Definition> = Definition extends CacheDefinition<infer _, infer Value> ? Value : never;

/** A definition, and where its values come from. */
export interface CacheBinding<Definition> extends SourceProvision<CacheSource<IdOf<Definition>, ValueOf<Definition>>> {
  cache: Definition;
}

/** What `forFeature` imports: apart from the root module, so that its lifecycle is that of plain providers. */
@Module({})
export class CacheFeatureModule {}

const definitionsToken = Symbol.for('CacheDefinitions of RedisCacheModule.forFeature');
const known = ['cache', 'imports', 'inject', 'useFactory', 'useClass', 'useExisting'];

/** A binding whose types have been checked where it was written. */
interface LooseBinding extends SourceProvision<CacheSource<unknown, unknown>> {
  readonly cache: CacheDefinition<unknown, unknown>;
}

/** @throws OptionsError */
export function bindCaches(bindings: readonly CacheBinding<never>[]): DynamicModule {
  const loose = bindings as readonly unknown[] as readonly LooseBinding[];
  for (const { cache } of loose) checkDefinition(cache);
  refuseTwiceHere(loose.map(({ cache }) => cache));
  const providers = loose.flatMap((binding): Provider[] => {
    const { cache } = binding;
    const where = `RedisCacheModule.forFeature "${cache.name}"`;
    checkKnownKeys(binding, known, where);
    const source = Symbol(`the source of ${where}`);
    return [
      sourceProvider(source, binding, where),
      {
        provide: cache.token,
        useFactory: (service: CacheService, made: CacheSource<unknown, unknown>) =>
          new DefinedCache(cache, service, made),
        inject: [getCacheToken(cache.cache), source],
      },
    ];
  });
  return {
    module: CacheFeatureModule,
    imports: loose.flatMap(({ imports = [] }) => imports),
    providers: [{ provide: definitionsToken, useValue: loose.map(({ cache }) => cache) }, ...providers],
    exports: loose.map(({ cache }) => cache.token),
  };
}

/** @throws OptionsError unless it says exactly one way */
export function sourceProvider<Source>(
  provide: symbol,
  { inject = [], useFactory, useClass, useExisting }: SourceProvision<Source>,
  where: string,
): Provider {
  const given = [useFactory, useClass, useExisting].filter((way) => way !== undefined).length;
  if (given !== 1) {
    throw new OptionsError(
      where,
      `got ${given} of useFactory, useClass and useExisting; expected exactly one of them.`,
    );
  }
  if (useFactory !== undefined) return { provide, useFactory, inject };
  if (useClass !== undefined) return { provide, useClass };
  return { provide, useFactory: (existing: Source) => existing, inject: [useExisting as InjectionToken] };
}

/** Of modules that import each other the first one finds nothing yet. */
function checkDefinition(cache: unknown): void {
  if (typeof cache === 'object' && cache !== null && 'token' in cache) return;
  throw new OptionsError(
    'RedisCacheModule.forFeature, cache',
    `got a value of type ${typeof cache}; expected what defineCache returns. If it is undefined, two files import each other: define the cache in a file of its own.`,
  );
}

function refuseTwiceHere(definitions: readonly SomeCacheDefinition[]): void {
  for (const [index, definition] of definitions.entries()) {
    if (definitions.indexOf(definition) === index) continue;
    throw new OptionsError(
      `RedisCacheModule.forFeature "${definition.name}"`,
      'is bound twice in one call. Bind it once.',
    );
  }
}

/**
 * Looks at all definitions that the modules of an application bind.
 *
 * @throws OptionsError when one is bound by two modules, or two have one name: they would share their keys
 */
export function checkDefinitions(modules: ModulesContainer): void {
  const seen = new Map<string, SomeCacheDefinition>();
  for (const module of modules.values()) {
    const definitions = module.providers.get(definitionsToken)?.instance as readonly SomeCacheDefinition[] | undefined;
    for (const definition of definitions ?? []) {
      const { name, cache } = definition;
      const place = JSON.stringify([cache, name]);
      const earlier = seen.get(place);
      seen.set(place, definition);
      if (earlier === undefined) continue;
      throw new OptionsError(
        `RedisCacheModule.forFeature "${name}"`,
        earlier === definition
          ? 'is bound by two modules. Bind it in one, and let that module export what forFeature has returned: exports: [flightsFeature].'
          : `there are two definitions of the name "${name}"${cache === 'default' ? '' : ` in the cache "${cache}"`}, which would share their keys. Define it once and import that constant everywhere, or give each a name of its own.`,
      );
    }
  }
}
