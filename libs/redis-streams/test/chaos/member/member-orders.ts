import type { RedisModuleOptions } from '@redstart/redis-core';
import type { OrderedProcess } from '@redstart/redis-testing/programs';
import type { RedisStreamsOptions } from '../../../src/index.js';

/** Where a member finds Redis, and what it is: with `consumers: false` it only publishes. */
export interface MemberTarget {
  readonly redis: RedisModuleOptions;
  readonly streams: RedisStreamsOptions;
}

/** What a spec may tell a member to do; it answers when that is done. */
export type Order =
  | { readonly order: 'connect'; readonly target: MemberTarget }
  /** Publishes at a steady pace from now on. */
  | { readonly order: 'publish'; readonly wave: string; readonly perSecond: number }
  /** Publishes nothing new, and answers when everything under way has its outcome. */
  | { readonly order: 'rest' }
  /** Handlers that begin from now on wait until they are let go. Answers when some do, of the one stream and of the other. */
  | { readonly order: 'hold' }
  | { readonly order: 'let-go' }
  /** Answers when Redis has answered the member. */
  | { readonly order: 'hear' }
  | { readonly order: 'disconnect' };

/** A member as its parent sees it. */
export type MemberProcess = OrderedProcess<Order>;
