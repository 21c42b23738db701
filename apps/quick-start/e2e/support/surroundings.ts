/**
 * What a block of a library's README is only a part of.
 *
 * - `alone`: nothing, it is a whole file
 * - `file`: a file but for its imports
 * - `members`: stands in a class
 * - `statements`: stands in a method
 * - `constructor, statements`: a constructor, and after an empty line the body of a method
 */
export type Part = 'alone' | 'file' | 'members' | 'statements' | 'constructor, statements';

export interface Surroundings {
  readonly part: Part;
  /** What the text around the block takes for granted, beside the imports of all blocks. */
  readonly given?: string;
  /** The same, of the class that the block stands in. */
  readonly fields?: string;
}

interface Readme {
  readonly imports: string;
  /** One for each block of TypeScript, in order. */
  readonly blocks: readonly Surroundings[];
}

const nest = `import { Controller, Get, Injectable, Module, Post, UseGuards } from '@nestjs/common';
import { Test } from '@nestjs/testing';`;

const flights = `
interface Flight { id: string }
declare class FlightRepository {
  find(id: string): Promise<Flight | null>;
  reschedule(id: string, departure: Date): Promise<void>;
  countSeats(id: string): Promise<number>;
}`;

const orders = `
interface OrderCreated { id: string }`;
const ordersStream = `${orders}
const orders = defineStream('orders', { events: { 'order.created': event<OrderCreated>() } });`;

const policies = `
const policies = createPolicies({
  api: slidingWindow({ limit: 100, window: '1m' }),
  login: slidingWindow({ limit: 5, window: '1m' }),
});`;

export const readmes: Record<string, Readme> = {
  'README.md': {
    imports: `
import { Cacheable } from '@redstart/redis-cache';
import { WithLock } from '@redstart/redis-lock';
import { LimitCalls } from '@redstart/redis-ratelimit';
import { defineStream, event, StreamConsumer, StreamHandler } from '@redstart/redis-streams';`,
    blocks: [
      {
        part: 'file',
        given: `
import { Injectable } from '@nestjs/common';
interface Airport { code: string }
interface Booking { id: string }
interface BookingCreated { bookingId: string }
const bookings = defineStream('bookings', { events: { 'booking.created': event<BookingCreated>() } });`,
      },
      { part: 'alone' },
    ],
  },
  'libs/redis-core/README.md': {
    imports: `${nest}
import { HealthCheck, HealthCheckService } from '@nestjs/terminus';
import { InjectRedis, InjectRedisPool, RedisConnections, RedisModule, RedisPool } from '@redstart/redis-core';
import { Redis } from 'ioredis';`,
    blocks: [
      { part: 'file', given: 'declare class ConfigService { getOrThrow(name: string): string }' },
      { part: 'file' },
      { part: 'members', fields: 'health!: HealthCheckService; redis!: RedisHealthIndicator;' },
    ],
  },
  'libs/redis-cache/README.md': {
    imports: `${nest}
import { RedisModule, RedisUnavailableError } from '@redstart/redis-core';
import { Cacheable, CacheService, provideNoopCache, RedisCacheModule } from '@redstart/redis-cache';`,
    blocks: [
      { part: 'file' },
      { part: 'file', given: flights },
      {
        part: 'statements',
        given: `${flights}
declare const id: string;
declare const departure: Date;`,
        fields: `flights!: FlightRepository; cache!: CacheService;
  outbox!: { add(task: string, key: string[]): Promise<void> };`,
      },
      { part: 'file', given: 'declare class FlightService {}' },
    ],
  },
  'libs/redis-lock/README.md': {
    imports: `${nest}
import { RedisConnections, RedisModule } from '@redstart/redis-core';
import {
  CronLock, currentLock, defineFencedScript, LockService, onLockEvent, provideNoopLock, RedisLockModule, WithLock,
} from '@redstart/redis-lock';`,
    blocks: [
      { part: 'file' },
      {
        part: 'file',
        given: `
export interface Payments { bank: { refund(id: string, options: { signal: AbortSignal; fence: number }): Promise<void> } }`,
      },
      {
        part: 'statements',
        given: `
declare const locks: LockService;
declare const tenant: string;
declare const order: { id: string };`,
        fields: `quote!: (order: { id: string }) => Promise<number>;
  importPrices!: (options: { fence: number }) => Promise<void>; publishPrices!: (options: { signal: AbortSignal }) => Promise<void>;`,
      },
      {
        part: 'statements',
        given: `
declare const locks: LockService;
declare const order: { id: string };`,
        fields: 'bank!: { transfer(order: { id: string }): Promise<void> };',
      },
      {
        part: 'file',
        given: `
import { Cron } from '@nestjs/schedule';
export interface Reports { build(options: { signal: AbortSignal | undefined }): Promise<void> }`,
      },
      {
        part: 'file',
        given: `
import type { Logger, OnApplicationBootstrap } from '@nestjs/common';
export interface Scheduler { logger: Logger; dispatchJobs(options: { signal: AbortSignal; fence: number }): Promise<void> }`,
      },
      { part: 'members' },
      {
        part: 'file',
        given: `
interface Report { rows: number }
export interface Reports { build(id: string): Promise<Report> }`,
      },
      { part: 'file' },
      {
        part: 'statements',
        given: `
type Labels = Record<string, string>;
interface Histogram { observe(labels: Labels, value: number): void }
declare const waits: Histogram;
declare const holds: Histogram;
declare const losses: { inc(labels: Labels): void };`,
      },
      { part: 'file', given: 'declare class Payments {}' },
    ],
  },
  'libs/redis-ratelimit/README.md': {
    imports: `${nest}
import { RedisModule } from '@redstart/redis-core';
import {
  all, by, concurrency, createPolicies, dynamic, fixedWindow, gcra, ipIn, LimitCalls, RateLimit, RateLimitService, RedisRateLimitModule,
  RedisThrottlerStorage, SkipRateLimit, slidingWindow, userIn,
  type PolicyName,
} from '@redstart/redis-ratelimit';`,
    blocks: [
      { part: 'file' },
      { part: 'file', given: 'declare class AuthGuard { canActivate(): boolean }' },
      {
        part: 'statements',
        given: `${policies}
declare const flags: { isOn(flag: string, user: unknown): Promise<boolean> };`,
      },
      { part: 'members', given: 'interface Quote { price: number }' },
      {
        part: 'constructor, statements',
        given: `${policies}
declare const user: { id: string };
declare const key: string;`,
      },
      {
        part: 'statements',
        given: `
import type { Key } from '@redstart/redis-core';
declare const plans: { limitsOf(key: Key): Promise<{ rate: number; per: '1m' }> };`,
      },
      { part: 'file' },
    ],
  },
  'libs/redis-streams/README.md': {
    imports: `${nest}
import { RedisModule } from '@redstart/redis-core';
import {
  defineStream, event, InjectStream, provideNoopStreams, RedisStreamsModule, StreamConsumer, StreamHandler, StreamProducer,
  type StreamContext,
} from '@redstart/redis-streams';
import { z } from 'zod';`,
    blocks: [
      { part: 'file', given: `${ordersStream}\ndeclare class OrderService {}\ndeclare class BillingConsumer {}` },
      { part: 'file', given: orders },
      {
        part: 'constructor, statements',
        given: `${ordersStream}
declare const order: OrderCreated;
declare const tenant: string;`,
      },
      {
        part: 'file',
        given: `${ordersStream}
export interface BillingConsumer {
  invoices: { create(order: OrderCreated, options: { idempotencyKey: string; signal: AbortSignal }): Promise<void> };
}`,
      },
      { part: 'file', given: `${ordersStream}\ndeclare class OrderService {}` },
    ],
  },
  'libs/redis-testing/README.md': {
    imports: `${nest}
import { RedisModule } from '@redstart/redis-core';`,
    blocks: [
      { part: 'file', given: 'declare function orders(redis: Redis): { count(id: string): Promise<void> };' },
      { part: 'file' },
      { part: 'statements', given: `import { RedisServer } from '@redstart/redis-testing';` },
      { part: 'statements', given: `import { RedisCluster } from '@redstart/redis-testing';` },
      { part: 'statements', given: `import { RedisSentinel } from '@redstart/redis-testing';` },
    ],
  },
};

/** The block as a file of its own. What it leaves out (`…`, or a line of three dots) does nothing, and never returns where it is a whole body. */
export function asFile(code: string, imports: string, { part, given = '', fields = '' }: Surroundings): string {
  if (part === 'alone') return code;
  const complete = code.replace(/\{ … \}/g, "{ throw new Error('left out'); }").replace(/^\s*\.\.\.$/gm, '');
  const [ownImports, rest] = splitImports(complete);
  const around = {
    file: (text: string) => text,
    members: (text: string) => `export class Surrounding {\n${fields}\n${text}\n}`,
    statements: (text: string) => `export class Surrounding {\n${fields}\nasync use() {\n${text}\n}\n}`,
    'constructor, statements': (text: string) => {
      const [constructor = '', ...statements] = text.split('\n\n');
      return `export class Surrounding {\n${constructor}\nasync use() {\n${statements.join('\n\n')}\n}\n}`;
    },
  };
  return [imports, ownImports, given, around[part](rest)].join('\n');
}

function splitImports(code: string): [imports: string, rest: string] {
  const lines = code.split('\n');
  const isImport = (line: string) => line.startsWith('import ');
  return [lines.filter(isImport).join('\n'), lines.filter((line) => !isImport(line)).join('\n')];
}
