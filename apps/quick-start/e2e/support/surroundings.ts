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

const flightStore = `
interface Flight { id: string; airline: string; departure: Date }
declare class FlightRepository {
  find(id: string): Promise<Flight>;
  findAll(ids: readonly string[]): Promise<Flight[]>;
  save(flight: Flight): Promise<void>;
  saveAll(values: readonly { id: string; value: Flight; version: bigint }[]): Promise<void>;
}
declare class FlightRepositoryModule {}`;

const orders = `
interface OrderCreated { id: string }`;
const ordersStream = `${orders}
const orders = defineStream('orders', { events: { 'order.created': event<OrderCreated>() } });`;

const ordersProducer = 'producer!: StreamProducer<typeof orders>;';

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
import {
  Cacheable, CacheConfig, type CacheDefinition, CacheEvict, CachePut, CacheService, commitScope, defineCache, type DefinedCache, HttpCache, InjectCache,
  provideNoopCache, RedisCacheModule,
} from '@redstart/redis-cache';
import { InjectWriteBehind, type WriteBehind, WriteBehindModule } from '@redstart/redis-cache/write-behind';
import { RedisStreamsModule } from '@redstart/redis-streams';`,
    blocks: [
      { part: 'file' },
      { part: 'file', given: flights },
      { part: 'file', given: 'interface Flight { id: string }' },
      { part: 'file', given: flightStore },
      {
        part: 'statements',
        given: `${flightStore}
declare const id: string;
declare const flight: Flight;`,
        fields: 'flights!: FlightRepository; cache!: CacheService;',
      },
      {
        part: 'file',
        given: `${flightStore}
declare const flights: CacheDefinition<string, Flight>;`,
      },
      {
        part: 'file',
        given: `
interface Flight { id: string }
interface FlightRepository {
  find(id: string): Promise<Flight | null>; create(airline: string): Promise<Flight>; reschedule(id: string, departure: Date): Promise<void>;
}`,
      },
      {
        part: 'members',
        given: 'interface Transaction { cancel(id: string): Promise<void> }',
        fields: `database!: { transaction(): { execute<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> } };`,
      },
      {
        part: 'file',
        given: `
import { createParamDecorator, Query } from '@nestjs/common';
interface Flight { id: string }
interface User { id: string }
declare class SearchDto {}
declare class AuthGuard { canActivate(): boolean }
declare const CurrentUser: ReturnType<typeof createParamDecorator>;
declare class FlightService { search(query: SearchDto): Promise<Flight[]>; of(user: User): Promise<Flight[]> }`,
      },
      { part: 'statements' },
      {
        part: 'statements',
        given: `${flights}
declare const id: string;
declare const departure: Date;`,
        fields: `flights!: FlightRepository; cache!: CacheService;
  outbox!: { add(task: string, key: string[]): Promise<void> };`,
      },
      {
        part: 'file',
        given: `
declare class FlightService {}
interface Flight { id: string }
declare const flights: CacheDefinition<string, Flight>;
declare const flightOf: (id: string) => Flight;`,
      },
    ],
  },
  'docs/from-nestjs-cache-manager.md': {
    imports: `${nest}
import { APP_INTERCEPTOR } from '@nestjs/core';
import { RedisModule } from '@redstart/redis-core';
import { Cacheable, CacheService, RedisCacheModule, RedisKeyvStore } from '@redstart/redis-cache';`,
    blocks: [
      { part: 'file' },
      { part: 'file' },
      { part: 'file', given: flights },
      {
        part: 'statements',
        given: `${flights}
declare const cache: CacheService;
declare const flights: FlightRepository;
declare const id: string;`,
      },
      {
        part: 'file',
        given: `
interface Airport { code: string }
declare class AirportRepository { find(code: string): Promise<Airport> }`,
      },
      {
        part: 'statements',
        given: `
import { Keyv } from 'keyv';
declare const cache: CacheService;`,
      },
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
  defineStream, event, InjectStream, onStreamTelemetry, provideNoopStreams, provideOutboxRelay, RedisStreams, RedisStreamsModule, StreamAdmin, StreamConsumer, StreamHandler, StreamProducer,
  type OutboxMessage, type OutboxStore, type StreamContext,
} from '@redstart/redis-streams';
import { RedisStreamsClient, RedisStreamsExceptionFilter, RedisStreamsServer } from '@redstart/redis-streams/transport';
import { ClientsModule, EventPattern, MessagePattern } from '@nestjs/microservices';
import { StreamsHealthIndicator } from '@redstart/redis-streams/terminus';
import { HealthCheck, HealthCheckService } from '@nestjs/terminus';
import { StreamsHarness } from '@redstart/redis-streams/testing';
import { UseFilters, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
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
      { part: 'statements', given: `${ordersStream}\ndeclare const order: OrderCreated;`, fields: ordersProducer },
      {
        part: 'statements',
        given: `${orders}
const orders = defineStream('orders', { events: { 'order.created': event<OrderCreated>(), 'order.paid': event<{ id: string }>() } });
declare const order: OrderCreated;`,
        fields: ordersProducer,
      },
      { part: 'file', given: 'interface Moved { id: string }' },
      {
        part: 'statements',
        given: ordersStream,
        fields: `${ordersProducer} view!: { apply(type: string, order: OrderCreated, at: Date): void };`,
      },
      {
        part: 'file',
        given: `${ordersStream}
export interface BillingConsumer {
  invoices: { create(order: OrderCreated, options: { idempotencyKey: string; signal: AbortSignal }): Promise<void> };
}`,
      },
      {
        part: 'file',
        given: `
import { DefaultStreamHandler, StreamBatchHandler, type BatchResult, type StreamMessage } from '@redstart/redis-streams';
${ordersStream}
export interface SearchConsumer {
  index: { addAll(orders: OrderCreated[]): Promise<Set<string>>; touch(key: string, type: string): Promise<void> };
  logger: { warn(text: string): void };
}`,
      },
      {
        part: 'file',
        given: `
import { exponential, OnDeadLetter, RetryAfterError, UnrecoverableError, type DeadLetter } from '@redstart/redis-streams';
${ordersStream}
export interface ShippingConsumer {
  carrier: { book(order: OrderCreated, options: { signal: AbortSignal }): Promise<{ status: string; retryAfterMs: number }> };
  pager: { alert(text: string): void };
}`,
      },
      {
        part: 'file',
        given: `
interface Moved { id: string }
const shipments = defineStream('shipments', { events: { 'shipment.moved': event<Moved>() }, partitions: 8 });
export interface TrackingConsumer {
  positions: { update(key: string, to: Moved): Promise<void> };
}`,
      },
      {
        part: 'file',
        given: `${ordersStream}
export interface StockConsumer {
  mailer: { send(order: OrderCreated, options: { idempotencyKey: string }): Promise<void> };
}`,
      },
      { part: 'constructor, statements', given: ordersStream },
      { part: 'statements', given: 'declare class AppModule {}' },
      {
        part: 'file',
        given: `${orders}
export interface BillingController {
  invoices: { create(order: OrderCreated): Promise<void> };
  prices: { of(order: OrderCreated): number };
}`,
      },
      { part: 'file' },
      {
        part: 'statements',
        given: `
declare function count(name: string, labels: object): void;
declare function gauge(name: string, value: number, labels: object): void;`,
      },
      { part: 'members', fields: 'health!: HealthCheckService; streams!: StreamsHealthIndicator;' },
      {
        part: 'file',
        given: `${ordersStream}
declare class Database { query<Row>(sql: string, values: unknown[]): Promise<Row[]> }`,
      },
      { part: 'file', given: `${ordersStream}\ndeclare class OrderService {}` },
      {
        part: 'statements',
        given: `${ordersStream}
declare const app: INestApplicationContext;
declare const producer: StreamProducer<typeof orders>;`,
      },
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
      {
        part: 'statements',
        given: `
          import { join } from 'node:path';
          import type { RedisServer } from '@redstart/redis-testing';
          import { Programs } from '@redstart/redis-testing/programs';
          declare const server: RedisServer;
        `,
      },
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
