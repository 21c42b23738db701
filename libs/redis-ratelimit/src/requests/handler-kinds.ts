import 'reflect-metadata';
import type { RequestTransport } from './context.js';

/** What Nest's decorators leave on handlers and their classes: the same since Nest 5, and no package has to be there to read it. */
const metadata = {
  route: 'method',
  messagePattern: 'microservices:pattern',
  gateway: 'websockets:is_gateway',
  subscribedMessage: 'websockets:message_mapping',
  resolverType: 'graphql:resolver_type',
  resolvedField: 'graphql:resolve_property',
  resolvedReference: 'graphql:resolve_reference',
} as const;

/** The token of the options of GraphQLModule. */
export const graphqlOptionsToken = 'GqlModuleOptions';

/** What calls a method: `graphql-field` are resolvers below the root, which Nest guards only where it is told to. */
export type HandlerKind = RequestTransport | 'graphql-field';

/**
 * What calls a method of a class that Nest has built; nothing for one that is no handler.
 *
 * @param controller whether the class stands among the controllers of a module, where Nest looks for routes and message patterns
 */
export function handlerKinds(type: object, method: object, controller: boolean): readonly HandlerKind[] {
  const has = (key: string, at = method) => Reflect.hasMetadata(key, at);
  if (controller) {
    return [
      ...(has(metadata.route) ? ['http' as const] : []),
      ...(has(metadata.messagePattern) ? ['rpc' as const] : []),
    ];
  }
  const kinds: HandlerKind[] = [];
  if (has(metadata.subscribedMessage) && isGateway(type)) kinds.push('ws');
  if (has(metadata.resolvedField) || has(metadata.resolvedReference)) kinds.push('graphql-field');
  else if (has(metadata.resolverType)) kinds.push('graphql');
  return kinds;
}

export function isGateway(type: object): boolean {
  return Reflect.hasMetadata(metadata.gateway, type);
}
