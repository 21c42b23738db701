import type { ExecutionContext } from '@nestjs/common';
import type { IncomingCall } from './incoming-call.js';
import { propertyOf } from '../properties.js';

const noArguments = Object.freeze({});

/** A request of Express or Fastify: what counts once is the request. */
export function httpCall(execution: ExecutionContext): IncomingCall {
  const http = execution.switchToHttp();
  const request: object = http.getRequest();
  return {
    type: 'http',
    scope: [request],
    request,
    headers: propertyOf(request, 'headers'),
    userHolders: [request],
    response: http.getResponse<object>(),
    args: noArguments,
    operation: undefined,
    data: undefined,
    client: undefined,
  };
}
