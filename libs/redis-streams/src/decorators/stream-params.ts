import 'reflect-metadata';
import type { PipeTransform, Type } from '@nestjs/common';

/** Under this key lies, per method, what each parameter gets; the form is that of Nest's own route parameters. */
export const parametersKey = '@redstart/redis-streams:parameters';

type Pipe = Type<PipeTransform> | PipeTransform;

/** Which argument of the call a parameter gets. 3 is what Nest's pipes know as `body`: they validate it. Anything unknown is `custom` to them. */
const source = { payload: 3, ctx: 100 } as const;

/** Injects the payload into a parameter of a stream handler, through pipes. @example  created(@StreamPayload(new ValidationPipe()) order: OrderDto) */
export const StreamPayload = (...pipes: Pipe[]): ParameterDecorator => parameter('payload', pipes);

/** Injects the {@link StreamContext} into a parameter of a stream handler. */
export const StreamCtx = (): ParameterDecorator => parameter('ctx', []);

/** What Nest calls to get an argument from those of the call, `(payload, ctx)`. */
export const parametersFactory = {
  exchangeKeyForValue: (type: number, _data: unknown, args: readonly unknown[]): unknown =>
    type === source.payload ? args[0] : args[1],
};

/** A method without parameter decorators gets these arguments, in this order. Written down like the others, so that pipes of the method see them. */
export function describeParameters(target: object, method: string, given: readonly (keyof typeof source)[]): void {
  if (Reflect.hasMetadata(parametersKey, target, method)) return;
  given.forEach((what, index) => {
    add(target, method, what, index, []);
  });
}

/** Whether a handler takes `(payload, ctx)` in this order, both as they are. */
export function takesPayloadAndContext(target: object, method: string): boolean {
  const described = (Reflect.getMetadata(parametersKey, target, method) ?? {}) as Record<string, { pipes: Pipe[] }>;
  const expected = [`${source.payload}:0`, `${source.ctx}:1`];
  return Object.entries(described).every(([key, { pipes }]) => expected.includes(key) && pipes.length === 0);
}

function parameter(what: keyof typeof source, pipes: Pipe[]): ParameterDecorator {
  return (target, method, index) => {
    if (typeof method === 'string') add(target.constructor, method, what, index, pipes);
  };
}

function add(target: object, method: string, what: keyof typeof source, index: number, pipes: Pipe[]): void {
  const before = (Reflect.getOwnMetadata(parametersKey, target, method) ?? {}) as object;
  const described = { ...before, [`${source[what]}:${index}`]: { index, data: undefined, pipes } };
  Reflect.defineMetadata(parametersKey, described, target, method);
}
