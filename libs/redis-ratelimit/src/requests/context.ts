import type { ExecutionContext } from '@nestjs/common';

/** How a call came in. */
export type RequestTransport = 'http' | 'graphql' | 'ws' | 'rpc';

/** Every transport that `@RateLimit` knows. */
export const requestTransports = ['http', 'graphql', 'ws', 'rpc'] as const satisfies readonly RequestTransport[];

/** Which operation of a GraphQL document runs. */
export interface GraphQLOperation {
  readonly kind: string;
  /** The name that the client gave it, if any. */
  readonly name: string | undefined;
  /** The field whose resolver asks. */
  readonly field: string;
}

/** What the functions at `@RateLimit` and in the module's options see of a call. */
export interface RateLimitContext {
  readonly type: RequestTransport;
  /**
   * The request of the framework: Express' or Fastify's, over GraphQL the one that brought the operation. Over WebSockets and subscriptions it is the
   * handshake; over microservices there is none.
   */
  readonly request: unknown;
  /**
   * The client's address as the framework trusts it: set Express' `trust proxy` or Fastify's `trustProxy` to the proxies that you run. Of a handshake
   * too.
   */
  readonly ip: string | undefined;
  /** Where authentication guards put it: `request.user`; over GraphQL also `context.user`, over WebSockets also `client.data.user` and `client.user`. */
  readonly user: unknown;
  /** A header of the request or handshake by its name, in any case. Several values count as one text. */
  header(name: string): string | undefined;
  /** The arguments of a GraphQL resolver; of everything else an empty object. They are the client's to choose. */
  readonly args: Readonly<Record<string, unknown>>;
  /** Of GraphQL only. */
  readonly operation: GraphQLOperation | undefined;
  /** The payload of a WebSocket or microservice message; over HTTP and GraphQL `undefined`. */
  readonly data: unknown;
  /** The socket of a WebSocket message; of a microservice message Nest's context, such as `KafkaContext` or gRPC's metadata. */
  readonly client: unknown;
  readonly execution: ExecutionContext;
}

/** Answers a question about a call: what `skip`, `allow` and `deny` take. A promise is waited for. */
export type RequestMatch = (context: RateLimitContext) => boolean | Promise<boolean>;
