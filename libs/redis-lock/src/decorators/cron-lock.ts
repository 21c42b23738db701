import {
  bindMethod,
  checkKnownKeys,
  checkText,
  durationMs,
  OptionsError,
  systemClock,
  Warnings,
  type Duration,
  type KeyedMethodDecorator,
} from '@redstart/redis-core';
import { isOutOfReach } from '../out-of-reach.js';
import { LockLostError } from '../lock.errors.js';
import { LockNotReplicatedError } from '../replicas/replicas.errors.js';
import { lockTtlMs, type LockCallOptions } from '../lock.options.js';
import type { LockService } from '../lock.service.js';
import { getLockToken } from '../lock.tokens.js';

export interface CronLockOptions {
  /**
   * How long after a run has begun no other one may begin, however short it was. Longer than the instances differ in asking for the same
   * tick, shorter than the time between two ticks; with `@Interval` just shorter than the interval.
   * @default '4s', or `atMost` if that is shorter
   */
  atLeast?: Duration;
  /** How long a run may take. A longer one loses its lock, and the signal of `currentLock()` aborts. At least 100 ms. @default none */
  atMost?: Duration;
  /** Which RedisLockModule to use. @default 'default' */
  name?: string;
}

const known = ['atLeast', 'atMost', 'name'];
/** More than hosts with synchronised clocks differ and a call takes in trouble, less than the time between the ticks of most schedules. */
const usualAtLeastMs = 4_000;

/**
 * Runs a scheduled job on one of many instances: whichever asks first at a tick runs it, the others leave it out and return `undefined`.
 *
 * For methods with `@Cron`, `@Interval` or `@Timeout` of `@nestjs/schedule`, above or below those, and for anything else that is called on every
 * instance. Redis does not know the schedule: the first call takes the lock `name` for the run, and for `atLeast` from its beginning, so **the calls that reach
 * Redis within `atLeast` of the first one are the same tick**. What that means:
 * - Exactly one run per tick, as long as the instances ask within `atLeast` of each other (their clocks' difference, plus a stalled event loop, plus up
 *   to two command timeouts after a broken connection) and `atLeast` and the run are both shorter than the time between two ticks.
 * - Instances that are further apart than the longer of `atLeast` and the run do run a tick twice. A tick that comes while a run still goes on, or
 *   before `atLeast` is over, is left out.
 * - A killed instance frees the lock when its lease ends: after `atLeast` at the earliest, and after the module's ttl (or `atLeast`, if that
 *   is longer; or `atMost`, if shorter) at the latest. Its tick is not repeated; the next one runs elsewhere.
 * - While Redis (or a majority of nodes) can't be asked, or too few replicas confirm its lock (`replicas`), the job is left out, on all instances, and a warning is
 *   logged (once, then every 30 s at most). A run that has begun goes on; if its lease can't be renewed, the signal of `currentLock()` aborts and the method rejects
 *   with LockLostError.
 *
 * The scheduler of Nest logs what a job rejects with, and goes on.
 *
 * @param name the key of the lock, the same on all instances: `inspect(name)` tells who runs the job, and that it ran less than `atLeast` ago
 * @throws OptionsError where the class is defined; and by the call, when another method of this application has the same name: each would keep the other
 *   from running. The method rejects with what it threw itself · LockLostError
 * @example
 * @Cron('0 3 * * *')
 * @CronLock('nightly-report', { atLeast: '1m', atMost: '30m' })
 * async report(): Promise<void> { ... }
 * @see one EVALSHA on every instance, one that keeps or frees the lock at the end, and one every third of the lease while the job runs
 */
export function CronLock(name: string, options: CronLockOptions = {}): KeyedMethodDecorator<[]> {
  const where = `@CronLock(${JSON.stringify(checkText(name, '@CronLock(name)'))})`;
  checkKnownKeys(options, known, where);
  const isUsual = options.atLeast === undefined;
  const call = callOf(options, where);
  if (options.name !== undefined) checkText(options.name, `${where}.name`);

  return bindMethod<LockService, []>({
    decorator: '@CronLock',
    runtime: getLockToken(options.name),
    module: 'RedisLockModule.forRoot()',
    async around(locks, { className, methodName, signal }, proceed) {
      const jobs = jobsOf(locks);
      jobs.claim(name, `${className}.${methodName}`);
      const run = { begun: false };
      try {
        const options = signal === undefined ? call : { ...call, signal };
        const outcome = await locks.tryWithLock(name, options, (lock) => {
          run.begun = true;
          jobs.begin(name);
          return proceed(signal && lock.signal); // Ends an Observable whose lock is lost.
        });
        if (outcome.ran) return outcome.result;
        if (isUsual) jobs.leaveOut(name, call.minHold);
      } catch (error) {
        if (run.begun) throw error;
        const obstacle = obstacleIn(error);
        if (obstacle === undefined) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        jobs.warn(name, `"${name}" is left out, since ${obstacle}: ${reason}`);
      }
      return undefined;
    },
  });
}

/** Why a job can't be run for sure on one instance only, if that is what the error says. */
function obstacleIn(error: unknown): string | undefined {
  if (isOutOfReach(error)) return 'nobody can tell whether it runs elsewhere';
  if (error instanceof LockNotReplicatedError) return 'after a failover it could run elsewhere as well';
  return error instanceof LockLostError ? 'its lock was lost before it began' : undefined;
}

function callOf({ atLeast, atMost }: CronLockOptions, where: string): LockCallOptions & { readonly minHold: number } {
  const maxHold = atMost === undefined ? Infinity : lockTtlMs(atMost, `${where}.atMost`);
  const minHold =
    atLeast === undefined ? Math.min(usualAtLeastMs, maxHold) : durationMs(atLeast, `${where}.atLeast`, { min: 0 });
  if (minHold > maxHold) {
    throw new OptionsError(`${where}.atLeast`, `${minHold} ms is more than atMost, ${maxHold} ms.`);
  }
  return maxHold === Infinity ? { minHold } : { minHold, maxHold };
}

/** The scheduled jobs of one LockService, as far as they have been called. */
class Jobs {
  readonly #warnings = new Warnings('RedisLock', systemClock);
  readonly #jobs = new Map<string, { readonly method: string; begunAt: number }>();

  /** Refuses a second job of the same name: at every tick they have in common, one of the two would silently be left out. */
  claim(name: string, method: string): void {
    const job = this.#jobs.get(name);
    if (job === undefined) this.#jobs.set(name, { method, begunAt: -Infinity });
    else if (job.method !== method) {
      throw new OptionsError(
        `@CronLock(${JSON.stringify(name)})`,
        `is the name of ${job.method} and of ${method}, so each would keep the other from running. Give each job a name of its own, or use @WithLock for work that excludes other work.`,
      );
    }
  }

  begin(name: string): void {
    const job = this.#jobs.get(name);
    if (job !== undefined) job.begunAt = systemClock.now();
  }

  /** One instance is called once a tick. When it is called again before `atLeast` is over, that is too long; who has set it wants it so. */
  leaveOut(name: string, atLeastMs: number): void {
    const job = this.#jobs.get(name);
    const sinceMs = Math.round(systemClock.now() - (job?.begunAt ?? -Infinity));
    if (sinceMs >= atLeastMs) return;
    this.warn(
      `${name}: too often`,
      `"${name}" was called again ${sinceMs} ms after its last run and left out. If it is to run that often, set atLeast of its @CronLock: it is ${atLeastMs} ms by default.`,
    );
  }

  /** @param kind what is told only once in a while */
  warn(kind: string, message: string): void {
    this.#warnings.warn(kind, message);
  }
}

const jobsOfServices = new WeakMap<LockService, Jobs>();

function jobsOf(locks: LockService): Jobs {
  const jobs = jobsOfServices.get(locks) ?? new Jobs();
  jobsOfServices.set(locks, jobs);
  return jobs;
}
