import { Injectable } from '@nestjs/common';
import { RedisStreamsModule } from '@redstart/redis-streams';
import { defineCache, RedisCacheModule, type CacheSource } from '../../src/index.js';
import { InjectWriteBehind, WriteBehindModule, type WriteBehind } from '../../src/write-behind/index.js';
import { nowhere, startCache } from '../app.js';

const flights = defineCache<string, number>('flights', { key: (id) => id });
const streams = RedisStreamsModule.forRoot({ service: 'test' });
const target = { useFactory: () => ({ writeMany: () => undefined }) };
const source = (extra: Partial<CacheSource<string, number>> = {}) =>
  RedisCacheModule.forFeature([{ cache: flights, useFactory: () => ({ load: () => 1, ...extra }) }]);

@Injectable()
class FlightService {
  constructor(@InjectWriteBehind(flights) readonly behind: WriteBehind<string, number>) {}
}

describe('what can’t be written behind', () => {
  const boot = async (imports: NonNullable<Parameters<typeof startCache>[2]>['imports'] & unknown[]) => {
    const app = await startCache(nowhere(), {}, { imports, providers: [FlightService] });
    await app[Symbol.asyncDispose]();
  };
  const behind = (feature: ReturnType<typeof source>, extra: object = {}) =>
    WriteBehindModule.forFeature([{ cache: flights, imports: [feature], ...target, ...extra }]);

  it('names what to import', async () => {
    const feature = source();
    await expect(boot([feature, streams])).rejects.toThrow(
      /WriteBehind of "flights" \(import WriteBehindModule\.forFeature/,
    );
    await expect(boot([feature, behind(feature)])).rejects.toThrow(/import RedisStreamsModule\.forRoot/);
    const alone = WriteBehindModule.forFeature([{ cache: flights, ...target }]);
    await expect(boot([streams, alone])).rejects.toThrow(/import RedisCacheModule\.forFeature\(\[\{ cache: flights/);
  });

  it('refuses a cache that is written through as well', async () => {
    const feature = source({ write: () => undefined });
    await expect(boot([streams, feature, behind(feature)])).rejects.toThrow(/Leave write out of its forFeature/);
  });

  it('refuses a target without writeMany, and a cache that is bound twice', async () => {
    const feature = source();
    const wrong = behind(feature, { useFactory: () => ({}) });
    await expect(boot([streams, feature, wrong])).rejects.toThrow(/bound to something without writeMany/);
    await expect(boot([streams, feature, behind(feature), behind(feature, { size: 7 })])).rejects.toThrow(
      /"write-behind\.flights"|written behind by two modules/,
    );
  });

  it('refuses wrong options where they were written', () => {
    const bind = (extra: object) => () => WriteBehindModule.forFeature([{ cache: flights, ...target, ...extra }]);
    expect(bind({ size: 0 })).toThrow(/WriteBehindModule\.forFeature "flights"\.size/);
    expect(bind({ maxWait: 'soon' })).toThrow(/\.maxWait/);
    expect(bind({ retry: { attempts: 0 } })).toThrow(/attempts/);
    expect(bind({ flushEvery: 1 })).toThrow(/flushEvery: is not an option/);
    expect(bind({ useFactory: undefined })).toThrow(/got 0 of useFactory/);
  });
});
