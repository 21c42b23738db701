import type { ExecutionContext } from '@nestjs/common';
import type { IncomingCall } from './incoming-call.js';

const noArguments = Object.freeze({});

/**
 * A message of a microservice: each counts. It has neither an address nor headers that all transports would share, so it is counted by what is in the payload, or in the
 * transport's context.
 */
export function rpcCall(execution: ExecutionContext): IncomingCall {
  const rpc = execution.switchToRpc();
  const context: unknown = rpc.getContext();
  return {
    type: 'rpc',
    scope: [execution.getArgs()],
    request: undefined,
    headers: undefined,
    userHolders: [context],
    response: undefined,
    args: noArguments,
    operation: undefined,
    data: rpc.getData(),
    client: context,
  };
}
