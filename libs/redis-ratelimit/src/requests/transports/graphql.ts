import type { ExecutionContext } from '@nestjs/common';
import type { GraphQLOperation } from '../context.js';
import type { IncomingCall } from './incoming-call.js';
import { firstObject, isObject, propertyOf } from '../properties.js';

/**
 * A resolver of a GraphQL operation: what counts once is the operation, however many of its resolvers run, and how often.
 *
 * The operation is told by its context and its document together: servers reuse the document of a text that they have seen, and an application may use one
 * context for all operations of a connection.
 *
 * Nest calls resolvers with (parent, args, context, info), and those that resolve a reference of a federation with (reference, context, info).
 */
export function graphqlCall(execution: ExecutionContext): IncomingCall {
  const parameters: readonly unknown[] = execution.getArgs();
  const info = parameters.at(-1);
  const context = parameters.at(-2);
  const operation = propertyOf(info, 'operation');
  const scope = firstObject(context, operation, parameters) ?? parameters;
  const request = requestOf(context);
  const args = parameters.length > 3 ? parameters[1] : undefined;
  return {
    type: 'graphql',
    scope: isObject(operation) ? [scope, operation] : [scope],
    request,
    headers: propertyOf(request, 'headers'),
    userHolders: [request, context],
    response: responseOf(context, request),
    args: isObject(args) ? { ...args } : {},
    operation: describe(operation, info),
    data: undefined,
    client: undefined,
  };
}

/** Where Apollo and Mercurius put the request; in a subscription by graphql-ws it is that of the connection. */
function requestOf(context: unknown): object | undefined {
  const request = firstObject(
    propertyOf(context, 'req'),
    propertyOf(context, 'request'),
    propertyOf(propertyOf(context, 'reply'), 'request'),
  );
  return firstObject(propertyOf(propertyOf(request, 'extra'), 'request'), request);
}

/** Something with headers: a subscription's answer has none, and what Mercurius calls its reply is no reply. */
function responseOf(context: unknown, request: object | undefined): object | undefined {
  const candidates = [propertyOf(context, 'res'), propertyOf(context, 'reply'), propertyOf(request, 'res')];
  return candidates.find(
    (response): response is object => isObject(response) && typeof propertyOf(response, 'getHeader') === 'function',
  );
}

function describe(operation: unknown, info: unknown): GraphQLOperation {
  const name = propertyOf(propertyOf(operation, 'name'), 'value');
  return {
    kind: String(propertyOf(operation, 'operation')),
    name: typeof name === 'string' ? name : undefined,
    field: String(propertyOf(info, 'fieldName')),
  };
}
