import { Observable, of } from 'rxjs';
import type { Readable } from 'node:stream';
import { Cacheable, CacheEvict, CachePut, type CacheService } from '../../src/index.js';

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

  readonly #tenant = 'a';
  private readonly region: string = 'eu';

  get tenant(): string {
    return this.#tenant;
  }

  @Cacheable({
    key: (id: string) => id,
    tags: (id: string, detail: boolean) => [['of', id, detail ? 1 : 0]],
    condition: (_id: string, _detail: boolean, live: boolean) => !live,
    unless: (result: Flight | null) => result === null,
    resultTags: (result: Flight | null, id: string) => [[result?.airline ?? '', id]],
    varyBy: (self: CacheableTypes) => [self.tenant, self.region],
    nullTtl: false,
    staleWhileRevalidate: '1m',
    staleIfError: '1h',
    refreshAhead: 'xfetch',
    namespace: 'flights',
  })
  async everything(_id: string, _detail: boolean, _live: boolean): Promise<Flight | null> {
    return Promise.resolve(null);
  }

  // @ts-expect-error the tags take a number, the method a string
  @Cacheable({ key: (id: string) => id, tags: (id: number) => [id] })
  async wrongTags(_id: string): Promise<number> {
    return Promise.resolve(1);
  }

  // @ts-expect-error varyBy reads another class
  @Cacheable({ key: 'a', varyBy: (self: { other: string }) => self.other })
  async otherClass(): Promise<number> {
    return Promise.resolve(1);
  }

  // @ts-expect-error an async iterable can be read once
  @Cacheable({ key: 'a' })
  async stream(): Promise<Readable> {
    return Promise.reject(new Error());
  }

  // @ts-expect-error a generator is no promise
  @Cacheable({ key: 'a' })
  async *generator(): AsyncGenerator<number> {
    yield await Promise.resolve(1);
  }

  // @ts-expect-error no such option
  @Cacheable({ key: 'a', tll: '5m' })
  async typo(): Promise<void> {}
}

interface Flight {
  readonly id: string;
  readonly airline: string;
}

export class ChangeTypes {
  @CachePut({ key: (flight: Flight) => ['flight', flight.id], unless: (result: Flight | null) => result === null })
  async save(_flight: Flight, _force: boolean): Promise<Flight | null> {
    return Promise.resolve(null);
  }

  @CachePut({ resultKey: (flight: Flight) => ['flight', flight.id], after: 'commit', ttl: '1m' })
  async create(_airline: string): Promise<Flight> {
    return Promise.reject(new Error());
  }

  // @ts-expect-error the method resolves with something else
  @CachePut({ resultKey: (flight: Flight) => ['flight', flight.id] })
  async createOther(_airline: string): Promise<{ airline: string }> {
    return Promise.reject(new Error());
  }

  // @ts-expect-error the key takes a number, the method a string
  @CachePut({ key: (id: number) => id })
  async wrongPut(_id: string): Promise<void> {}

  // @ts-expect-error the method is synchronous
  @CachePut({ key: (id: string) => id })
  synchronousPut(_id: string): number {
    return 1;
  }

  // @ts-expect-error a put is either of these
  @CachePut({ key: 'a', after: 'always' })
  async wrongMoment(): Promise<void> {}

  @CacheEvict({
    key: (id: string) => ['flight', id],
    keys: (_id: string, others: string[]) => others.map((id) => ['flight', id]),
    tags: [['flights']],
    resultKeys: (flight: Flight) => [['flight', flight.id]],
    after: 'commit',
  })
  async cancel(_id: string, _others: string[]): Promise<Flight> {
    return Promise.reject(new Error());
  }

  @CacheEvict({ allEntries: true, before: true })
  observable(): Observable<number> {
    return of(1);
  }

  // @ts-expect-error the keys take more than the method has
  @CacheEvict({ keys: (id: string, other: string) => [id, other] })
  async tooMany(_id: string): Promise<void> {}

  // @ts-expect-error a key is no object
  @CacheEvict({ keys: (id: string) => [{ id }] })
  async noKeys(_id: string): Promise<void> {}

  // @ts-expect-error no such moment
  @CacheEvict({ key: 'a', after: 'rollback' })
  async noMoment(): Promise<void> {}

  // @ts-expect-error the method is synchronous
  @CacheEvict({ key: 'a' })
  synchronousEvict(): void {}
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
