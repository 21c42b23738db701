import type { ExecutionContext } from '@nestjs/common';
import { handshakeOf } from '../handshakes.js';
import type { IncomingCall } from './incoming-call.js';
import { firstObject, propertyOf } from '../properties.js';

const noArguments = Object.freeze({});

/** A message of a WebSocket: each counts. Who sends it is told by the handshake of its connection. */
export function wsCall(execution: ExecutionContext): IncomingCall {
  const ws = execution.switchToWs();
  const client: unknown = ws.getClient();
  const request = firstObject(handshakeOf(client), propertyOf(client, 'request'));
  return {
    type: 'ws',
    scope: [execution.getArgs()],
    request,
    // socket.io adds the headers of a browser's options there.
    headers: firstObject(propertyOf(propertyOf(client, 'handshake'), 'headers'), propertyOf(request, 'headers')),
    userHolders: [propertyOf(client, 'data'), client, request],
    response: undefined,
    args: noArguments,
    operation: undefined,
    data: ws.getData(),
    client,
  };
}
