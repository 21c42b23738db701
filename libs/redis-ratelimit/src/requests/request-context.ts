import type { ExecutionContext } from '@nestjs/common';
import type { RateLimitContext } from './by.js';

/** A request of Express or Fastify as key functions see it. */
export function requestContext(execution: ExecutionContext): RateLimitContext {
  const request: object = execution.switchToHttp().getRequest();
  const ip: unknown = Reflect.get(request, 'ip');
  return {
    request,
    execution,
    ip: typeof ip === 'string' && ip !== '' ? ip : undefined,
    user: Reflect.get(request, 'user'),
    header: (name) => headerOf(request, name),
  };
}

function headerOf(request: object, name: string): string | undefined {
  const headers: unknown = Reflect.get(request, 'headers');
  if (typeof headers !== 'object' || headers === null) return undefined;
  const lower = name.toLowerCase();
  if (!Object.hasOwn(headers, lower)) return undefined;
  const value: unknown = Reflect.get(headers, lower);
  if (typeof value === 'string') return value;
  return Array.isArray(value) ? value.join(', ') : undefined;
}
