import { Observable, of } from 'rxjs';
import { Cacheable, type CacheService } from '../../src/index.js';

/** Compiled, never run: every `@ts-expect-error` has to be one. */
export class CacheableTypes {
  @Cacheable()
  async anything(_id: string, _day: Date): Promise<number> {
    return Promise.resolve(1);
  }

  @Cacheable({ key: 'constant', ttl: '5m' })
  async none(): Promise<void> {}

  @Cacheable({ key: (id: string) => ['flight', id] })
  async prefix(_id: string, _detail: boolean): Promise<number> {
    return Promise.resolve(1);
  }

  @Cacheable({ key: (id: string, day?: Date) => ['flight', id, day?.getTime() ?? 0] })
  async optional(_id: string, _day?: Date): Promise<number> {
    return Promise.resolve(1);
  }

  @Cacheable({ key: (id: string) => id, unless: (result: number | null, id: string) => result === null || id === '' })
  async nullable(_id: string): Promise<number | null> {
    return Promise.resolve(null);
  }

  @Cacheable({ key: (id: string) => id })
  observable(_id: string): Observable<number> {
    return of(1);
  }

  // @ts-expect-error the key function takes a string, the method a number
  @Cacheable({ key: (id: string) => id })
  async wrongType(_id: number): Promise<number> {
    return Promise.resolve(1);
  }

  // @ts-expect-error the key function takes more than the method has
  @Cacheable({ key: (id: string, day: string) => [id, day] })
  async tooFew(_id: string): Promise<number> {
    return Promise.resolve(1);
  }

  // @ts-expect-error the method is synchronous
  @Cacheable({ key: (id: string) => id })
  synchronous(_id: string): number {
    return 1;
  }

  // @ts-expect-error `unless` expects another result
  @Cacheable({ key: (id: string) => id, unless: (result: string) => result === '' })
  async otherResult(_id: string): Promise<number> {
    return Promise.resolve(1);
  }

  // @ts-expect-error a key is no object
  @Cacheable({ key: (id: string) => ({ id }) })
  async objectKey(_id: string): Promise<number> {
    return Promise.resolve(1);
  }

  // @ts-expect-error not a duration
  @Cacheable({ key: 'a', ttl: '5 minutes' })
  async wrongTtl(): Promise<void> {}
}

export async function serviceTypes(cache: CacheService): Promise<unknown[]> {
  const loaded: number = await cache.getOrSet('a', () => 1);
  const fromPromise: string = await cache.getOrSet('b', () => Promise.resolve(''), { unless: (value) => value === '' });
  const got: number | undefined = await cache.get<number>('a');
  // @ts-expect-error a read may find nothing
  const certain: number = await cache.get<number>('a');
  // @ts-expect-error an entry's value is of the loader's type
  const wrong: string = await cache.getOrSet('a', () => 1);
  return [loaded, fromPromise, got, certain, wrong];
}
