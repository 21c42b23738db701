import { UseInterceptors, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { finalize, tap, type Observable } from 'rxjs';
import type { CallEnd } from './call-end.js';

/** The ends of calls that have something to give back. By the arguments that guards and interceptors of one call share, so an end is forgotten with its call. */
const ends = new WeakMap<object, Set<CallEnd>>();

/** Has the interceptor of the handler tell how the call ends. */
export function watchHandler(execution: ExecutionContext, end: CallEnd): void {
  const call = execution.getArgs();
  const watching = ends.get(call) ?? new Set<CallEnd>();
  ends.set(call, watching.add(end));
}

/** Tells the guard of the same call when the handler starts, fails and ends: of messages nothing else does. */
class CallEndInterceptor implements NestInterceptor {
  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    const watching = [...(ends.get(execution.getArgs()) ?? [])];
    if (watching.length === 0) return next.handle();
    for (const end of watching) end.claim();
    return next.handle().pipe(
      tap({
        error: (error: unknown) => {
          for (const end of watching) end.failed(error);
        },
      }),
      finalize(() => {
        for (const end of watching) end.handled();
      }),
    );
  }
}

const interceptor = new CallEndInterceptor();
const intercepted = new WeakSet<object>();

/** Puts the interceptor at a handler, once. An instance, since Nest has collected the classes by then; HTTP handlers do without, and pay nothing. */
export function interceptEnd(prototype: object, name: string, descriptor: PropertyDescriptor): void {
  const handler: unknown = descriptor.value;
  if (typeof handler !== 'function' || intercepted.has(handler)) return;
  intercepted.add(handler);
  UseInterceptors(interceptor)(prototype, name, descriptor);
}
