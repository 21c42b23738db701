/** A process that competes for locks as its parent orders: what an instance of a service would be. */
import 'reflect-metadata';
import { Module, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisModule } from '@redstart/redis-core';
import { obey } from '@redstart/redis-testing/programs';
import { LockService, RedisLockModule } from '../../../src/index.js';
import { Witness } from '../witness.js';
import { Contender } from './contender.js';
import type { LockTarget, Order, Terms } from './orders.js';

const [, , name = '', witnessUrl = ''] = process.argv;
const witness = new Witness(witnessUrl);
let app: INestApplicationContext | undefined;
let contender: Contender | undefined;

@Module({})
class WorkerModule {}

async function connect({ redis, lock }: LockTarget): Promise<void> {
  const imports = [...redis.map((options) => RedisModule.forRoot(options)), RedisLockModule.forRoot(lock)];
  app = await NestFactory.createApplicationContext({ module: WorkerModule, imports });
}

async function compete(terms: Terms, dwells: boolean): Promise<void> {
  await rest();
  if (app === undefined) throw new Error('A worker must be connected before it competes.');
  contender = new Contender(name, app.get(LockService), witness, terms, dwells);
}

async function stall(ms: number): Promise<void> {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  const thawed = witness.say({ what: 'thawed', worker: name });
  contender?.look();
  await thawed;
}

async function rest(): Promise<void> {
  await contender?.rest();
  contender = undefined;
}

async function disconnect(): Promise<void> {
  await app?.close();
  app = undefined;
}

async function carryOut(order: Order): Promise<void> {
  switch (order.order) {
    case 'connect':
      return connect(order.target);
    case 'compete':
      return compete(order.terms, order.dwells ?? false);
    case 'dwell':
      contender?.dwell();
      return;
    case 'let-go':
      contender?.letGo();
      return;
    case 'rest':
      return rest();
    case 'stall':
      return stall(order.ms);
    case 'disconnect':
      return disconnect();
  }
}

obey(carryOut);
