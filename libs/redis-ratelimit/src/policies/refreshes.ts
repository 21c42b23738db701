import type { Key, RedisConnection } from '@redstart/redis-core';
import { refreshChannel } from '../keys.js';
import { NoticeChannel } from '../notices/notice-channel.js';
import type { PolicyBook } from './policy-book.js';

/**
 * Has all processes ask for the limits of a `dynamic` policy again.
 *
 * A process listens from its first call of such a policy on. What it was told before, and whenever it may have missed a notice, it asks for again.
 */
export class Refreshes {
  readonly #policies: PolicyBook;
  readonly #notices: NoticeChannel;

  constructor(connection: RedisConnection, policies: PolicyBook, budgetMs: number) {
    this.#policies = policies;
    this.#notices = new NoticeChannel(connection, refreshChannel(connection.keys), budgetMs, {
      onMessage: (message) => {
        this.#hear(message);
      },
      onGap: () => {
        policies.refreshAll();
      },
    });
  }

  listen(): void {
    this.#notices.listen();
  }

  /** @throws UnknownPolicyError */
  async refresh(policy: string, key: Key | undefined): Promise<void> {
    this.#policies.refresh(policy, key);
    await this.#notices.tell('refresh', JSON.stringify([policy, key === undefined ? undefined : textOf(key)]));
  }

  /** Whoever sends something else there is no process of ours, or a later version of it: then nothing is taken for known. */
  #hear(message: string): void {
    const [policy, key] = readNotice(message);
    if (policy === undefined) this.#policies.refreshAll();
    else if (this.#policies.names.includes(policy)) this.#policies.refresh(policy, key);
  }
}

/** Numbers are the same keys as their texts, and JSON knows no bigint. */
function textOf(key: Key): string | string[] {
  return typeof key === 'object' ? key.map(String) : String(key);
}

function readNotice(message: string): readonly [policy?: string, key?: Key] {
  let told: unknown;
  try {
    told = JSON.parse(message);
  } catch {
    return [];
  }
  const parts: readonly unknown[] = Array.isArray(told) ? told : [];
  const [policy, key] = parts;
  if (typeof policy !== 'string') return [];
  if (isText(key)) return [policy, key];
  return Array.isArray(key) && key.every(isText) ? [policy, key] : [policy];
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
