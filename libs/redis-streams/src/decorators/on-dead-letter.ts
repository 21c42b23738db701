import 'reflect-metadata';
import type { DeadLetter } from '../admin/dead-letter.js';
import { describeParameters } from './stream-params.js';

const metadataKey = '@redstart/redis-streams:on-dead-letter';

/**
 * Makes a method of a `@StreamConsumer` hear of each message that this process has just moved to the dead letters of the group, e.g. to alert somebody. One method per class.
 *
 * It is told at most once, after the message is safe among the dead letters; when it fails that is logged, and nothing else. What must not be missed is to be read
 * from the dead letters themselves.
 *
 * @example
 * @OnDeadLetter()
 * async buried({ entryId, reason, error }: DeadLetter) { await this.pager.alert(`${entryId}: ${reason}, ${error.message}`); }
 */
export function OnDeadLetter() {
  return <Method extends (letter: DeadLetter) => unknown>(
    target: object,
    propertyKey: string,
    descriptor: TypedPropertyDescriptor<Method>,
  ): void => {
    if (descriptor.value !== undefined) Reflect.defineMetadata(metadataKey, true, descriptor.value);
    describeParameters(target.constructor, propertyKey, ['payload']);
  };
}

export function hearsOfDeadLetters(method: object): boolean {
  return Reflect.getMetadata(metadataKey, method) === true;
}
