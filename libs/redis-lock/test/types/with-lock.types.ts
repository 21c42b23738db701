import { WithLock } from '../../src/index.js';

/** Compiled, never run: what `@WithLock` accepts and what it refuses. */
export class Accepted {
  @WithLock('static')
  noArguments(): Promise<void> {
    return Promise.resolve();
  }

  @WithLock('static', { onLocked: 'skip', ttl: '10s', waitTimeout: 0, reentrant: true })
  anyArguments(_id: string): Promise<number> {
    return Promise.resolve(1);
  }

  @WithLock((id: string) => ['order', id])
  prefixOfTheArguments(_id: string, _amount: number): Promise<void> {
    return Promise.resolve();
  }

  @WithLock((a: string, b: string) => [[a], [b]])
  severalLocks(_a: string, _b: string): Promise<void> {
    return Promise.resolve();
  }
}

export class Refused {
  // @ts-expect-error the key function takes a string, the method a number
  @WithLock((id: string) => id)
  wrongType(_id: number): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error the method is synchronous
  @WithLock('static')
  synchronous(): number {
    return 1;
  }

  // @ts-expect-error a key is no object
  @WithLock((id: string) => ({ id }))
  wrongKey(_id: string): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error no such way
  @WithLock('static', { onLocked: 'run' })
  wrongOption(): Promise<void> {
    return Promise.resolve();
  }
}
