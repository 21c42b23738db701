import { Catch, type ArgumentsHost } from '@nestjs/common';
import { BaseRpcExceptionFilter } from '@nestjs/microservices';
import { throwError, type Observable } from 'rxjs';
import { RedisStreamsContext } from './redis-streams.context.js';

/**
 * Lets the transport see what an event handler has thrown: Nest makes `Internal server error` of everything but an `RpcException`. With this filter `UnrecoverableError` and
 * `RetryAfterError` do what they say, and a dead letter tells the error's own name and message. Calls are answered as ever.
 *
 * @example  @UseFilters(RedisStreamsExceptionFilter) on a controller, or `app.useGlobalFilters(new RedisStreamsExceptionFilter())`
 */
@Catch()
export class RedisStreamsExceptionFilter extends BaseRpcExceptionFilter {
  override catch(exception: unknown, host: ArgumentsHost): Observable<unknown> {
    const context: unknown = host.switchToRpc().getContext();
    return context instanceof RedisStreamsContext && context.isEvent
      ? throwError(() => exception)
      : super.catch(exception, host);
  }
}
