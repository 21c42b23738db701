import { cluster, describeOn, eventually, sentinel, standalone } from '@redstart/redis-testing';
import { currentLock, ReadWriteNestingError, type Lock } from '../src/index.js';
import { deferred, failureOf, watch } from './support.js';
import { pricesOf, twoHosts } from './two-hosts.js';

const main = 'shop:rwlock:{prices}';

describeOn(
  standalone,
  sentinel,
  cluster,
)('a read/write lock', (redis) => {
  const hosts = twoHosts(redis);
  const { here, there, waiting, warmUp } = pricesOf(hosts);

  describe('downgraded', () => {
    it('is read without a gap: waiting readers come in, a waiting writer does not', async () => {
      await warmUp();
      const writer = await here().write();
      const readers = [there().read(), here().read()];
      await waiting(0, 2);
      const reading = await writer.downgrade();
      expect(reading.fencingToken).toBe(writer.fencingToken);
      expect([writer.isHeld, writer.signal.aborted, reading.isHeld]).toEqual([false, false, true]);
      for (const reader of readers) await (await reader).release();

      const next = there().write();
      const state = watch(next);
      await waiting(1, 0);
      expect(await here().inspect()).toMatchObject({ writer: undefined, readers: 1 });
      // The write lock has ended, and says so by the same answer each time.
      expect(await writer.release()).toBe(true);
      expect(await failureOf(writer.downgrade())).toMatchObject({ code: 'LOCK_LOST', reason: 'released' });
      expect(state.settled).toBe(false);
      await reading.extend('20s');
      expect(reading.remainingMs).toBeGreaterThan(10_000);
      expect(reading.remainingMs).toBeLessThanOrEqual(20_000 * 0.99 - 2);
      expect(await reading.release()).toBe(true);
      await (await next).release();
    });

    it('keeps readers out that a waiting writer keeps out', async () => {
      await warmUp();
      const writer = await here().write();
      const next = there().write();
      await waiting(1, 0);
      const reader = there().read();
      await waiting(1, 1);
      const reading = await writer.downgrade();
      expect(await here().inspect()).toMatchObject({ readers: 1, waitingReaders: 1 });
      await reading.release();
      await (await next).release();
      await (await reader).release();
    });

    it('is refused when it was lost', async () => {
      const writer = await here().write();
      await redis.client().del(main);
      expect(await failureOf(writer.downgrade())).toMatchObject({ code: 'LOCK_LOST', reason: 'taken' });
      expect(writer.isHeld).toBe(false);
      expect(await writer.release()).toBe(false);
      expect(await here().inspect()).toMatchObject({ readers: 0 });
    });
  });

  describe('around work', () => {
    it('renews, is the current lock, and is released with what it was downgraded to', async () => {
      let reading: Lock | undefined;
      await here().withWrite({ ttl: 2_400 }, async (lock) => {
        expect(currentLock()?.token).toBe(lock.token);
        const until = performance.now() + 2_700;
        await eventually(() => performance.now() > until);
        lock.assertHeld();
        reading = await lock.downgrade();
        expect(currentLock()).toBe(reading);
        await eventually(() => performance.now() > until + 2_700);
        reading.assertHeld();
        expect(await there().inspect()).toMatchObject({ readers: 1 });
      });
      expect(reading?.isHeld).toBe(false);
      expect(currentLock()).toBeUndefined();
      expect(await there().inspect()).toMatchObject({ readers: 0, writer: undefined });
      expect(await there().withRead({}, () => Promise.resolve(7))).toBe(7);
    });

    it('is released when the work did not wait for its downgrade', async () => {
      await here().withWrite({}, async (lock) => {
        void lock.downgrade();
        await Promise.resolve();
      });
      expect(await there().inspect()).toMatchObject({ readers: 0, writer: undefined });
    });

    it('rejects when the read lease is lost, also after a downgrade', async () => {
      const failure = failureOf(
        here().withWrite({ ttl: '3s' }, async (lock) => {
          const reading = await lock.downgrade();
          await redis.client().del(`${main}:readers`);
          await new Promise((resolve) => {
            reading.signal.addEventListener('abort', resolve, { once: true });
          });
        }),
      );
      expect(await failure).toMatchObject({ code: 'LOCK_LOST', reason: 'taken' });
    });

    it('refuses what would wait for itself, and says what to do instead', async () => {
      const nested = (held: 'read' | 'write', asked: 'read' | 'write') =>
        failureOf(
          here()[held === 'read' ? 'withRead' : 'withWrite']({}, async () => {
            // Through any number of calls, and past other locks.
            await hosts.here().withLock('other', {}, () =>
              hosts
                .here()
                .readWrite('another')
                .withRead({}, async () => {
                  await (asked === 'read' ? here().read() : here().write());
                }),
            );
          }),
        );
      const upgrade = await nested('read', 'write');
      expect(upgrade).toBeInstanceOf(ReadWriteNestingError);
      expect(upgrade).toMatchObject({ code: 'READ_WRITE_NESTING', key: main, held: 'read', asked: 'write' });
      expect(upgrade.message).toMatch(/End withRead first.*or use withWrite from the start/);
      expect(await nested('write', 'read')).toMatchObject({ held: 'write', asked: 'read' });
      expect(await nested('write', 'write')).toMatchObject({ held: 'write', asked: 'write' });
      const downgraded = failureOf(
        here().withWrite({}, async (lock) => {
          await lock.downgrade();
          await here().tryWrite();
        }),
      );
      expect(await downgraded).toMatchObject({ held: 'read', asked: 'write' });
      await waiting(0, 0);
    });

    it('refuses nothing to other flows of calls, to other locks and to work that outlived it', async () => {
      const leftBehind = await here().withRead({}, async () => {
        await hosts
          .here()
          .readWrite('other')
          .withWrite({}, () => Promise.resolve());
        const [reader] = await Promise.all([there().tryRead(), Promise.resolve()]);
        await reader?.release();
        expect(reader).not.toBeNull();
        const ended = deferred();
        return { ended, work: ended.promise.then(() => here().write()) };
      });
      leftBehind.ended.resolve();
      await (await leftBehind.work).release();
    });

    it('lets a nested reader in although a writer waits, which waits for the outer one', async () => {
      const writer = await here().withRead({}, async () => {
        const next = there().write({ waitTimeout: '20s' });
        await waiting(1, 0);
        expect(await there().tryRead()).toBeNull();
        await here().withRead({ waitTimeout: 0 }, () => Promise.resolve());
        return { next };
      });
      await (await writer.next).release();
    });
  });
});
