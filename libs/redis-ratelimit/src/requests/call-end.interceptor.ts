import 'reflect-metadata';
import {
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
  type Type,
} from '@nestjs/common';
import type { ApplicationConfig } from '@nestjs/core';
import { finalize, tap, type Observable } from 'rxjs';
import type { CallEnd } from './call-end.js';

/** Under what `@UseInterceptors` leaves them at a class: the same since Nest 5. */
const interceptorsKey = '__interceptors__';

/** The ends of calls that have something to give back. By the arguments that guards and interceptors of one call share, so an end is forgotten with its call. */
const ends = new WeakMap<object, Set<CallEnd>>();

/** Has the interceptor of the handler tell how the call ends. */
export function watchHandler(execution: ExecutionContext, end: CallEnd): void {
  const call = execution.getArgs();
  const watching = ends.get(call) ?? new Set<CallEnd>();
  ends.set(call, watching.add(end));
}

/**
 * Tells the guard of the same call when the handler starts, fails and ends: of messages nothing else does. It stands at the handler, and once more around all other interceptors, which may answer
 * in the handler's place, or throw.
 */
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

/** Puts the interceptor around those of a class, and around the application's, once. */
export function interceptFirst(type: Type, config: ApplicationConfig): void {
  const own: unknown = Reflect.getMetadata(interceptorsKey, type);
  const others: readonly unknown[] = Array.isArray(own) ? own : [];
  if (!others.includes(interceptor)) Reflect.defineMetadata(interceptorsKey, [interceptor, ...others], type);
  if (config.getGlobalInterceptors().includes(interceptor)) return;
  config.addGlobalInterceptor(interceptor);
}

/** Puts the interceptor at a handler, once. An instance, since Nest has collected the classes by then; HTTP handlers do without, and pay nothing. */
export function interceptEnd(prototype: object, name: string, descriptor: PropertyDescriptor): void {
  const handler: unknown = descriptor.value;
  if (typeof handler !== 'function' || intercepted.has(handler)) return;
  intercepted.add(handler);
  UseInterceptors(interceptor)(prototype, name, descriptor);
}
