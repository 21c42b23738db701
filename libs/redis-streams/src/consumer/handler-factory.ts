import {
  ApplicationConfig,
  ContextIdFactory,
  ExternalContextCreator,
  NestContainer,
  type ContextId,
  type DiscoveryService,
  type ModuleRef,
  type ModulesContainer,
} from '@nestjs/core';
import { OptionsError } from '@redstart/redis-core';
import { isObservable, lastValueFrom } from 'rxjs';
import { parametersFactory, parametersKey, takesPayloadAndContext } from '../decorators/stream-params.js';

/** A method that Nest is to call: of one instance, or of a new one per message. */
export interface HandlerMethod {
  readonly wrapper: ReturnType<DiscoveryService['getProviders']>[number];
  readonly methodName: string;
  /** For messages: `BillingConsumer.created`. */
  readonly name: string;
}

type Method = (...args: unknown[]) => unknown;
/** Calls a method. The second argument is also the `REQUEST` of what is built for the call. */
export type Invoke = (payload: unknown, ctx: object) => Promise<unknown>;

/** The parts of Nest that are needed to call a handler as Nest calls its own. */
export interface NestParts {
  readonly discovery: DiscoveryService;
  readonly moduleRef: ModuleRef;
  readonly contexts: ExternalContextCreator;
  readonly container: ModulesContainer;
}

/**
 * Makes functions that call handlers through guards, pipes, interceptors and filters, with the context type `redis-stream`.
 *
 * Of a handler that has none of them Nest's way would be the same call behind seven promises, so it is called directly.
 *
 * A handler of a request-scoped class gets a new instance per message, whose `REQUEST` is the `StreamContext`.
 */
export class HandlerFactory {
  readonly #moduleRef: ModuleRef;
  readonly #contexts: ExternalContextCreator;
  readonly #globalEnhancers: boolean;

  constructor({ moduleRef, contexts, container }: NestParts, globalEnhancers: boolean) {
    this.#moduleRef = moduleRef;
    this.#globalEnhancers = globalEnhancers;
    this.#contexts = globalEnhancers
      ? contexts
      : ExternalContextCreator.fromContainer(new ContainerWithoutGlobals(container));
  }

  create(method: HandlerMethod): Invoke {
    const { wrapper } = method;
    if (!wrapper.isDependencyTreeStatic()) return (payload, ctx) => this.#invokePerMessage(method, payload, ctx);
    const instance: unknown = wrapper.instance;
    return this.#bind(method, instance);
  }

  async #invokePerMessage(method: HandlerMethod, payload: unknown, ctx: object): Promise<unknown> {
    const { wrapper } = method;
    const contextId = ContextIdFactory.create();
    this.#moduleRef.registerRequestByContextId(ctx, contextId);
    const token = wrapper.token as Parameters<ModuleRef['resolve']>[0];
    const instance: unknown = await this.#moduleRef.resolve(token, contextId, { strict: false });
    return await this.#bind(method, instance, contextId)(payload, ctx);
  }

  #bind({ wrapper, methodName, name }: HandlerMethod, instance: unknown, contextId?: ContextId): Invoke {
    const callback: unknown = isObject(instance) ? Reflect.get(instance, methodName) : undefined;
    if (!isObject(instance) || !isMethod(callback)) throw new OptionsError(name, 'is no method of its instance.');
    const plain = contextId === undefined && !this.#globalEnhancers && isPlain(instance, callback, methodName);
    if (plain) return directly(instance, callback);
    const enhancers = { guards: true, interceptors: true, filters: true };
    return this.#contexts.create(
      instance,
      callback,
      methodName,
      parametersKey,
      parametersFactory,
      contextId,
      contextId === undefined ? undefined : wrapper.id,
      enhancers,
      'redis-stream',
    );
  }
}

/** What Nest's decorators `@UseGuards` and so on leave on a class and on its methods. */
const enhancerKeys = ['__guards__', '__interceptors__', '__pipes__', '__exceptionFilters__'];

/** Whether nothing of Nest's lies around a handler, and it takes `(payload, ctx)`. */
function isPlain(instance: object, callback: Method, methodName: string): boolean {
  const type = instance.constructor;
  if (enhancerKeys.some((key) => Reflect.hasMetadata(key, type) || Reflect.hasMetadata(key, callback))) return false;
  return takesPayloadAndContext(type, methodName);
}

function directly(instance: object, callback: Method): Invoke {
  return (payload, ctx) => {
    try {
      const result = callback.call(instance, payload, ctx);
      if (result instanceof Promise) return result;
      return isObservable(result) ? lastValueFrom(result) : Promise.resolve(result);
    } catch (error) {
      // As it is: a handler may throw anything.
      return Promise.resolve().then(() => {
        throw error;
      });
    }
  };
}

/** The application's modules under a configuration of its own, which has no global guards, pipes, interceptors and filters. */
class ContainerWithoutGlobals extends NestContainer {
  readonly #shown: ModulesContainer;

  constructor(shown: ModulesContainer) {
    super(new ApplicationConfig());
    this.#shown = shown;
  }

  override getModules(): ModulesContainer {
    return this.#shown;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isMethod(value: unknown): value is Method {
  return typeof value === 'function';
}
