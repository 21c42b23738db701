import { UseInterceptors, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { Observable } from 'rxjs';
import { holding } from '../slots/current-slot.js';
import type { Slot } from '../slots/slot.js';
import { PerCall } from './per-call.js';

const slots = new PerCall<Slot>();

/** Has the handler find its slot by `currentSlot()`, where {@link interceptSlot} has put the interceptor. */
export function rememberSlot(execution: ExecutionContext, slot: Slot): void {
  slots.set(callOf(execution), slot);
}

/** Over HTTP guards and interceptors get a list of arguments each, with the same request; elsewhere they share the list. */
function callOf(execution: ExecutionContext): object {
  return execution.getType() === 'http' ? execution.switchToHttp().getRequest<object>() : execution.getArgs();
}

/** Runs the handler where its slot is the current one. */
class SlotInterceptor implements NestInterceptor {
  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    const slot = slots.get(callOf(execution));
    if (slot === undefined) return next.handle();
    return new Observable((subscriber) => holding(slot, () => next.handle().subscribe(subscriber)));
  }
}

const interceptor = new SlotInterceptor();
const intercepted = new WeakSet<object>();

/** Puts the interceptor at a handler, once. An instance, since Nest has collected the classes by then. */
export function interceptSlot(prototype: object, name: string, handler: object): void {
  if (intercepted.has(handler)) return;
  intercepted.add(handler);
  UseInterceptors(interceptor)(prototype, name, { value: handler });
}
