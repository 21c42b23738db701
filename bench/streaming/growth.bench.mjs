import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { median } from '../lib/statistics.mjs';
import { Gate } from './gate.mjs';
import { messageOf } from './message.mjs';
import { group, keyOf, openStreams } from './redstart.mjs';

const sizes = [1, 10, 100];
const backlog = 20_000;
const mostRounds = 5;
const idleMs = 10_000;

/** Whether a consumer gets dearer with the number of streams that an application reads. */
export async function growthBench({ url, counters, rounds }) {
  const redis = new Redis(url);
  const rows = [];
  for (const size of sizes) {
    const names = Array.from({ length: size }, (_, at) => `growth-${size}-${at}`);
    rows.push(await measure(names, { url, redis, counters, rounds: Math.min(rounds, mostRounds) }));
  }
  await redis.flushdb('ASYNC');
  redis.disconnect();
  return {
    title: 'Growth with the number of streams',
    text: [
      `One application that consumes so many streams with one group, and ${backlog.toLocaleString('en')} messages spread over them, until the last one is acknowledged; 64 handlers at a time in all,`,
      'or one for each stream. Idle: what it sends in a second while nothing is published.',
    ].join('\n'),
    tables: [rows.map((row) => describeRow(row, rows[0]))],
    verdicts: [],
  };
}

async function measure(names, { url, redis, counters, rounds }) {
  const gate = new Gate();
  const connectionsBefore = await connectionsOf(redis);
  const concurrency = Math.max(1, Math.floor(64 / names.length));
  const streams = await openStreams(url, { streams: names, concurrency, handle: () => gate.pass() });
  const slices = [];
  for (let round = -1; round < rounds; round += 1) {
    gate.shut();
    for (let from = 0; from < backlog; from += 500) {
      const numbers = Array.from({ length: 500 }, (_, at) => from + at);
      await Promise.all(numbers.map((number) => streams.publish(messageOf(number), undefined, number % names.length)));
    }
    const serverBefore = await counters.cpuMicros();
    const cpuBefore = process.cpuUsage();
    const startedAt = performance.now();
    await gate.open(backlog);
    await allAcknowledged(redis, names);
    const seconds = (performance.now() - startedAt) / 1_000;
    const { user, system } = process.cpuUsage(cpuBefore);
    const serverCpuMicros = ((await counters.cpuMicros()) - serverBefore) / backlog;
    // The first one is to warm up.
    if (round >= 0)
      slices.push({ perSecond: backlog / seconds, cpuMicros: (user + system) / backlog, serverCpuMicros });
    for (const name of names) await redis.xtrim(keyOf(name), 'MAXLEN', 0);
  }
  const connections = (await connectionsOf(redis)) - connectionsBefore;
  const { sent } = await counters.commandsOf(() => sleep(idleMs));
  const idlePerSecond = [...sent.values()].reduce((sum, times) => sum + times, 0) / (idleMs / 1_000);
  await streams.close();
  const figure = (of) => median(slices.map((slice) => slice[of]));
  return {
    streams: names.length,
    connections,
    idlePerSecond,
    perSecond: figure('perSecond'),
    cpuMicros: figure('cpuMicros'),
    serverCpuMicros: figure('serverCpuMicros'),
  };
}

async function allAcknowledged(redis, names) {
  for (const name of names) {
    while ((await redis.xpending(keyOf(name), group))[0] > 0) await sleep(0);
  }
}

async function connectionsOf(redis) {
  return Number(/^connected_clients:(\d+)/m.exec(await redis.info('clients'))?.[1]);
}

function describeRow({ streams, connections, idlePerSecond, perSecond, cpuMicros, serverCpuMicros }, one) {
  return {
    streams,
    connections,
    'per second': Math.round(perSecond),
    'to one stream': `${(perSecond / one.perSecond).toFixed(2)}x`,
    'client CPU': `${cpuMicros.toFixed(1)} us`,
    'server CPU': `${serverCpuMicros.toFixed(1)} us`,
    'idle, commands a second': idlePerSecond.toFixed(1),
  };
}
