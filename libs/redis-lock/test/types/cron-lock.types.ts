import { of, type Observable } from 'rxjs';
import { CronLock, type LeaderOptions } from '../../src/index.js';

/** Compiled, never run: what `@CronLock` and `leader` accept and what they refuse. */
export class Accepted {
  @CronLock('job')
  noOptions(): Promise<void> {
    return Promise.resolve();
  }

  @CronLock('job', { atLeast: '30s', atMost: '5m', name: 'second' })
  anyArguments(_onComplete: () => void): Promise<number> {
    return Promise.resolve(1);
  }

  @CronLock('job', { atLeast: 0, atMost: 60_000 })
  observable(): Observable<number> {
    return of(1);
  }
}

export class Refused {
  // @ts-expect-error the method is synchronous
  @CronLock('job')
  synchronous(): void {
    return undefined;
  }

  // @ts-expect-error the name is the same at every call
  @CronLock((id: string) => id)
  computedName(_id: string): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error no duration
  @CronLock('job', { atLeast: '30 seconds' })
  wrongDuration(): Promise<void> {
    return Promise.resolve();
  }

  // @ts-expect-error who is locked out never waits
  @CronLock('job', { waitTimeout: '1s' })
  wrongOption(): Promise<void> {
    return Promise.resolve();
  }
}

export const candidates: LeaderOptions[] = [
  { onElected: () => undefined },
  { onElected: async (lock) => lock.extend(), onRevoked: async () => Promise.resolve(), ttl: '10s', label: 'worker' },
  // @ts-expect-error without it nothing would happen
  { onRevoked: () => undefined },
  // @ts-expect-error a candidate waits for ever
  { onElected: () => undefined, waitTimeout: '10s' },
];
