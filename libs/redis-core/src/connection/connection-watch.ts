import { Logger } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { RedisUnavailableError } from '../redis.errors.js';
import type { RedisClient } from '../redis.options.js';
import { isCluster } from './cluster.js';
import { isConsequence, isMisconfiguration, strip } from './failures.js';

/**
 * Watches whether a client can be used: why it last failed, and when it is ready again.
 *
 * - *waiting*: before the first connect, and from each loss of the connection. All callers share one promise, whatever their number.
 * - *ready*: until the next loss. Entering it forgets the last failure and calls `onReady`.
 * - *ended*: for good; waiting callers are refused.
 *
 * The first failure of an outage is logged, and its end; an operator should not have to guess from the errors of requests.
 */
export class ConnectionWatch {
  readonly #logger = new Logger('Redis');
  readonly #remember: (error: Error) => void;
  readonly #recover = () => {
    if (this.#outageLogged) this.#logger.log(`${this.label} is back.`);
    this.#outageLogged = false;
    this.#lastFailure = undefined;
    this.#wasReady = true;
    this.onReady();
  };
  #lastFailure: Error | undefined;
  #ready: Promise<void> | undefined;
  #outageLogged = false;
  #wasReady = false;
  #onMisconfigured: ((error: Error) => void) | undefined;

  constructor(
    private readonly client: RedisClient,
    private readonly label: string,
    private readonly options: { readonly logFirstFailure: boolean },
    /** Called whenever a connection has become usable, on a Cluster that of any node. */
    private readonly onReady: () => void,
  ) {
    this.#remember = (error) => {
      if (isConsequence(error) && this.#lastFailure !== undefined) return;
      const cause = 'lastNodeError' in error && error.lastNodeError instanceof Error ? error.lastNodeError : error;
      this.#lastFailure = strip(cause);
      if (isMisconfiguration(cause)) this.#onMisconfigured?.(this.#lastFailure);
      this.#logOnce(this.#lastFailure);
    };
    client.on('error', this.#remember).on('ready', this.#recover);
    if (isCluster(client)) client.on('node error', this.#remember).on('+node', this.#watchNode);
  }

  /** Why the client can't be used at the moment, without anything secret. */
  get lastFailure(): Error | undefined {
    return this.#lastFailure;
  }

  /** Resolves when the client is ready; rejects when it has ended. Has no deadline of its own. */
  ready(): Promise<void> {
    if (this.client.status === 'ready') return Promise.resolve();
    this.#ready ??= this.#whenReady().finally(() => {
      this.#ready = undefined;
    });
    return this.#ready;
  }

  /** Rejects as soon as the server refuses us for a reason that waiting does not cure. Never resolves. */
  misconfigured(): Promise<never> {
    return new Promise<never>((_, reject) => {
      this.#onMisconfigured = reject;
    });
  }

  /** Leaves a client alone that lives on, such as one of the user's. */
  stop(): void {
    this.client.off('error', this.#remember).off('ready', this.#recover);
    if (isCluster(this.client)) this.client.off('node error', this.#remember).off('+node', this.#watchNode);
  }

  readonly #watchNode = (node: Redis): void => {
    node.on('ready', this.onReady);
  };

  #whenReady(): Promise<void> {
    const { client } = this;
    if (client.status === 'wait') {
      client.connect().catch(() => {
        // The first attempt failed; the client goes on trying.
      });
    }
    return new Promise<void>((resolve, reject) => {
      const settle = (done: () => void) => () => {
        client.off('ready', onReady).off('end', onEnd);
        done();
      };
      const onReady = settle(resolve);
      const onEnd = settle(() => {
        reject(new RedisUnavailableError(`The connection to ${this.label} has ended.`, 'not-executed'));
      });
      client.on('ready', onReady).on('end', onEnd);
      if (client.status === 'end') onEnd();
    });
  }

  #logOnce(failure: Error): void {
    if (this.#outageLogged || !(this.#wasReady || this.options.logFirstFailure)) return;
    this.#outageLogged = true;
    this.#logger.warn(`${this.label} can't be used: ${failure.message.replace(/\.$/, '')}. Trying again until it can.`);
  }
}
