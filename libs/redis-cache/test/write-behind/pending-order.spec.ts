import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { RedisStreamsModule } from '@redstart/redis-streams';
import { cluster, describeOn, eventually, standalone } from '@redstart/redis-testing';
import { defineCache, getDefinedCacheToken, RedisCacheModule, type DefinedCache } from '../../src/index.js';
import {
  getWriteBehindToken,
  WriteBehindModule,
  type WriteBehind,
  type WriteBehindTarget,
  type WrittenBehind,
} from '../../src/write-behind/index.js';
import { gate, hold, startCache, type Connection } from '../app.js';

jest.setTimeout(90_000);

interface Report {
  readonly round: number;
  readonly text: string;
}

/** Of the first round on; in capitals. */
const schema: StandardSchemaV1<unknown, Report> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => {
      const report = value as Report;
      return report.round > 0
        ? { value: { ...report, text: report.text.toUpperCase() } }
        : { issues: [{ message: 'too early' }] };
    },
  },
};
const reports = defineCache('reports', { key: (id: string) => id, ttl: '10m', schema });

async function start(connection: Connection, target: WriteBehindTarget<string, Report>) {
  const load = (): Report => ({ round: 0, text: '' });
  const feature = RedisCacheModule.forFeature([{ cache: reports, useFactory: () => ({ load }) }]);
  const app = await startCache(
    connection,
    {},
    {
      imports: [
        RedisStreamsModule.forRoot({ service: 'test', block: 100, publishTimeout: '30s' }),
        feature,
        WriteBehindModule.forFeature([
          { cache: reports, imports: [feature], useFactory: () => target, maxWait: 20, budget: '10s' },
        ]),
      ],
    },
  );
  return {
    ...app,
    reports: app.context.get<DefinedCache<string, Report>>(getDefinedCacheToken(reports), { strict: false }),
    behind: app.context.get<WriteBehind<string, Report>>(getWriteBehindToken(reports), { strict: false }),
  };
}

describeOn(standalone, cluster)('what is pending of a key', (redis) => {
  it('is the last write of a process, also when an earlier one takes longer to pack its value', async () => {
    const rows = new Map<string, Report>();
    const versions = new Map<string, bigint>();
    await using app = await start(redis.connection, {
      writeMany: (values) => {
        for (const { id, value, version } of values) {
          if (version < (versions.get(id) ?? 0n)) continue;
          rows.set(id, value);
          versions.set(id, version);
        }
      },
    });
    const text = 'X'.repeat(200_000);
    const ids = Array.from({ length: 20 }, (_, index) => `r${index}`);
    const given = { round: 3, text: '' };
    // Of this one, what is pending can't be kept: the store gets what the stream has.
    using _ = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    await redis.client().rpush('shop:cache:reports:{streamed}:pending', 'x');
    const writes = [...ids, 'streamed'].flatMap((id) => [
      app.behind.write(id, { round: 1, text }),
      app.behind.write(id, { round: 2, text: text.slice(100_000) }),
      app.behind.write(id, given),
    ]);
    given.round = 4; // after the calls
    await Promise.all(writes);
    const last = ids.map(() => ({ round: 3, text: '' }));
    expect(await Promise.all(ids.map((id) => app.reports.getOrSet(id)))).toEqual(last);
    expect(await app.behind.flush({ timeout: '30s' })).toBe(true);
    expect([...rows.values()]).toEqual([...last, { round: 3, text: '' }]);
    expect(await Promise.all(ids.map((id) => app.reports.getOrSet(id)))).toEqual(last);
  });

  it('is what was written last also when the stream was lost, and its clock is behind', async () => {
    const rows = new Map<string, Report>();
    const open = gate();
    const writeMany = jest.fn(async (values: readonly WrittenBehind<string, Report>[]) => {
      if (values.some(({ id }) => id === 'pending')) await open.opened;
      for (const { id, value } of values) rows.set(id, value);
    });
    await using app = await start(redis.connection, { writeMany });
    const isWritten = async (id: string, report: Report) => {
      expect(await app.reports.getOrSet(id)).toEqual(report);
      open.open();
      expect(await app.behind.flush({ timeout: '30s' })).toBe(true);
      expect(rows.get(id)).toEqual(report);
      expect(await app.reports.getOrSet(id)).toEqual(report);
    };
    // What the earlier stream has left, by a clock that was an hour ahead.
    const ahead = `${Date.now() + 3_600_000}-0`;
    const leave = (id: string, what: string) => redis.client().set(`shop:cache:reports:{${id}}:pending`, what);
    const report = { round: 2, text: '' };

    await leave('pending', `${ahead}\n{"round":1,"text":""}`);
    using late = hold(app, 'requests', 'cache.put-pending');
    const write = app.behind.write('pending', report);
    // What is left is on its way to the store when it is found to be lost.
    await eventually(() => late.count === 1 && writeMany.mock.calls.length === 1, { within: 30_000 });
    late.release();
    await write;
    await isWritten('pending', report);

    await leave('written', ahead);
    await app.behind.write('written', report);
    await isWritten('written', report);
  });

  it('is a miss where it does not fit the schema, and else read as the schema makes it', async () => {
    const open = gate();
    await using app = await start(redis.connection, { writeMany: () => open.opened });
    await Promise.all([
      app.behind.write('early', { round: 0, text: 'no' }),
      app.behind.write('late', { round: 1, text: 'yes' }),
    ]);
    expect(await app.reports.getMany(['early', 'late'])).toEqual([undefined, { round: 1, text: 'YES' }]);
    expect(await app.behind.pending()).toMatchObject({ pending: 2 });
    open.open();
  });
});
