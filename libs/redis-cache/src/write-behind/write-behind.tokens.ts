import { Inject } from '@nestjs/common';
import type { SomeCacheDefinition } from '../definition/define-cache.js';

/** One for each definition, as its own token is. */
const tokens = new WeakMap<SomeCacheDefinition, symbol>();

/** The injection token of the `WriteBehind` of a defined cache. Nest prints it when nothing provides it, so it says what to import. */
export function getWriteBehindToken(definition: SomeCacheDefinition): symbol {
  const { name } = definition;
  const token =
    tokens.get(definition) ??
    Symbol(`WriteBehind of "${name}" (import WriteBehindModule.forFeature([{ cache: ${name}, useFactory: … }]))`);
  tokens.set(definition, token);
  return token;
}

/**
 * Injects the {@link WriteBehind} of a defined cache: a shorthand for `Inject(getWriteBehindToken(definition))`.
 *
 * @example  constructor(@InjectWriteBehind(flights) private readonly flights: WriteBehind<string, Flight>) {}
 */
export const InjectWriteBehind = (definition: SomeCacheDefinition): ParameterDecorator & PropertyDecorator =>
  Inject(getWriteBehindToken(definition));
