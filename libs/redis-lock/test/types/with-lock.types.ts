import { of, Subject, type Observable } from 'rxjs';
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

  @WithLock((id: string) => id)
  observable(_id: string, _limit: number): Observable<number> {
    return of(1);
  }

  @WithLock('static', { onLocked: 'skip' })
  subject(): Subject<number> {
    return new Subject();
  }

  @WithLock((...ids: string[]) => ids.map((id) => [id]))
  rest(..._ids: string[]): Promise<void> {
    return Promise.resolve();
  }

  @WithLock((id?: string) => id ?? 'all')
  optional(_id?: string): Promise<void> {
    return Promise.resolve();
  }

  @WithLock((id: string) => id)
  generic<T>(_id: string, load: () => T): Promise<T> {
    return Promise.resolve(load());
  }

  @WithLock((id: string) => id)
  protected inherited(_id: string): Promise<void> {
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

  // @ts-expect-error the key function takes a string, the method a number
  @WithLock((id: string) => id)
  wrongTypeOfAnObservable(_id: number): Observable<void> {
    return of(undefined);
  }

  // @ts-expect-error the method has no second argument
  @WithLock((from: string, to: string) => [[from], [to]])
  tooFewArguments(_from: string): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error the argument may be missing, and the key function wants it
  @WithLock((id: string) => id)
  mayBeMissing(_id?: string): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error a generator ends when its consumer is done, which nobody can wait for
  @WithLock('static')
  *generator(): Generator<number> {
    yield 1;
  }

  // @ts-expect-error that is no duration
  @WithLock('static', { waitTimeout: 'for ever' })
  wrongDuration(): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error the method renews itself
  @WithLock('static', { autoExtend: false })
  noChoice(): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error a property is no method
  @WithLock('static')
  property = 1;
}
