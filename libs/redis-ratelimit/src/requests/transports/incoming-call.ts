import type { ExecutionContext } from '@nestjs/common';
import { OptionsError } from '@redstart/redis-core';
import type { ClientAddresses } from '../client-addresses.js';
import { requestTransports, type GraphQLOperation, type RateLimitContext, type RequestTransport } from '../context.js';
import { graphqlCall } from './graphql.js';
import { httpCall } from './http.js';
import { isObject, propertyOf } from '../properties.js';
import { rpcCall } from './rpc.js';
import { wsCall } from './ws.js';

/** What a transport knows of one call of a handler. */
export interface IncomingCall {
  readonly type: RequestTransport;
  /** What counts once: whoever comes with the same objects is the same call. */
  readonly scope: readonly [outer: object, inner?: object];
  /** The request or handshake. */
  readonly request: object | undefined;
  /** Where its headers are, by lower-case name. */
  readonly headers: unknown;
  /** Objects whose `user` may be the user, in order. */
  readonly userHolders: readonly unknown[];
  /** What Nest's HTTP adapter takes for a response, where fields can still be set. */
  readonly response: object | undefined;
  readonly args: Readonly<Record<string, unknown>>;
  readonly operation: GraphQLOperation | undefined;
  readonly data: unknown;
  readonly client: unknown;
}

const calls: Readonly<Record<RequestTransport, (execution: ExecutionContext) => IncomingCall>> = {
  http: httpCall,
  graphql: graphqlCall,
  ws: wsCall,
  rpc: rpcCall,
};

/** The transport of a call, or `undefined` for one that `@RateLimit` does not know. */
export function transportOf(execution: ExecutionContext): RequestTransport | undefined {
  const type = execution.getType<string>();
  return requestTransports.find((known) => known === type);
}

/** @throws OptionsError for a transport that `@RateLimit` does not know */
export function incomingCall(execution: ExecutionContext): IncomingCall {
  const transport = transportOf(execution);
  if (transport !== undefined) return calls[transport](execution);
  throw new OptionsError(
    `@RateLimit on ${execution.getClass().name}.${execution.getHandler().name}`,
    `limits HTTP routes, GraphQL resolvers, WebSocket and microservice messages, and this is one of ${execution.getType()}. Use @LimitCalls, or RateLimitService.`,
  );
}

/** A call as key functions see it. What costs something is found out when it is asked for. */
export class RequestContext implements RateLimitContext {
  readonly #call: IncomingCall;
  readonly #addresses: ClientAddresses;

  /** A field, so that it may be taken out of its object: `({ header }) => header('x-tenant')`. */
  readonly header = (name: string): string | undefined => {
    const { headers } = this.#call;
    const lower = name.toLowerCase();
    if (!isObject(headers) || !Object.hasOwn(headers, lower)) return undefined;
    const value: unknown = Reflect.get(headers, lower);
    if (typeof value === 'string') return value;
    return Array.isArray(value) ? value.join(', ') : undefined;
  };

  constructor(
    call: IncomingCall,
    readonly execution: ExecutionContext,
    addresses: ClientAddresses,
  ) {
    this.#call = call;
    this.#addresses = addresses;
  }

  get type(): RequestTransport {
    return this.#call.type;
  }

  get request(): unknown {
    return this.#call.request;
  }

  get ip(): string | undefined {
    return this.#call.request === undefined ? undefined : this.#addresses.of(this.#call.request);
  }

  get user(): unknown {
    for (const holder of this.#call.userHolders) {
      const user = propertyOf(holder, 'user');
      if (user !== undefined && user !== null) return user;
    }
    return undefined;
  }

  get args(): Readonly<Record<string, unknown>> {
    return this.#call.args;
  }

  get operation(): GraphQLOperation | undefined {
    return this.#call.operation;
  }

  get data(): unknown {
    return this.#call.data;
  }

  get client(): unknown {
    return this.#call.client;
  }
}
