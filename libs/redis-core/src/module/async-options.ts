import type { FactoryProvider, InjectionToken, ModuleMetadata, Provider, Type } from '@nestjs/common';
import { OptionsError } from '../redis.errors.js';

/** A class that makes options; give it as `useClass` or `useExisting`. */
export interface OptionsFactory<Raw> {
  createOptions(): Raw | Promise<Raw>;
}

/** How options are made when they depend on other providers. Exactly one of `useFactory`, `useClass`, `useExisting`. */
export interface AsyncOptions<Raw> extends Pick<ModuleMetadata, 'imports'> {
  inject?: FactoryProvider['inject'];
  // The arguments are what `inject` names, which the type system of Nest can't follow.
  useFactory?: (...dependencies: never[]) => Raw | Promise<Raw>;
  useClass?: Type<OptionsFactory<Raw>>;
  useExisting?: InjectionToken;
}

/** Providers that put the options made by `options` under `token`. */
export function asyncOptionsProviders<Raw>(
  token: InjectionToken,
  options: AsyncOptions<Raw>,
  where: string,
): Provider[] {
  const { inject = [], useFactory, useClass, useExisting } = options;
  const given = [useFactory, useClass, useExisting].filter((way) => way !== undefined).length;
  if (given !== 1) {
    throw new OptionsError(
      where,
      `got ${given} of useFactory, useClass and useExisting; expected exactly one of them.`,
    );
  }
  if (useFactory !== undefined) return [{ provide: token, useFactory, inject }];
  const factory = useExisting ?? Symbol(`${where} factory`);
  return [
    ...(useClass === undefined ? [] : [{ provide: factory, useClass }]),
    { provide: token, useFactory: (made: OptionsFactory<Raw>) => made.createOptions(), inject: [factory] },
  ];
}
