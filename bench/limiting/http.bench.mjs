import { startingWith } from '../lib/compare.mjs';
import { HttpLoad } from '../lib/http-load.mjs';
import { HttpServer, httpSlice } from '../lib/http-server.mjs';
import { countedCosts } from '../lib/operation-costs.mjs';
import { judge, median } from '../lib/statistics.mjs';

const program = new URL('http-server-process.mjs', import.meta.url);
const connections = 50;
const sliceMs = 500;
const manyKeys = 10_000;
const bare = 'bare route';
const [byHandHot, oursHot] = ['guard by hand, one key', '@RateLimit, one key'];
const [byHandMany, oursMany] = ['guard by hand, 10,000 keys', '@RateLimit, 10,000 keys'];
/** Each limited route and the one it has to keep up with. */
const pairs = new Map([
  [oursHot, byHandHot],
  [oursMany, byHandMany],
]);

/** Requests to Nest on Fastify, in a process of its own: what a limit costs them. */
export async function httpBench({ url, counters, rounds }) {
  const server = await HttpServer.start(program, url);
  const load = await HttpLoad.open(server.port, connections);
  try {
    const requests = requestsOf(load);
    const names = [...requests.keys()];
    const slices = Object.fromEntries(names.map((name) => [name, []]));
    // By count, not by time: a route that has answered some thousand requests is compiled, on a slow machine too.
    for (const name of names) await load.run(requests.get(name), { count: 5_000 });
    for (let round = 0; round < rounds; round += 1) {
      for (const name of startingWith(round, names)) {
        slices[name].push(await httpSlice(() => load.run(requests.get(name), { ms: sliceMs }), { server, counters }));
      }
    }
    const costs = {};
    for (const name of names) {
      costs[name] = await countedCosts(() => load.run(requests.get(name), { count: 2_000 }), counters);
    }
    const ratios = (name, to) => slices[name].map(({ perSecond }, round) => perSecond / slices[to][round].perSecond);
    return {
      title: `HTTP on Fastify, ${connections} connections`,
      text: [
        'One application in a process of its own: a route that nobody limits, one with a guard written by hand around one EVALSHA, and one with `@RateLimit`. Both send',
        'the same fields. `app CPU` is the processor time of that process for one request, `load CPU` that of the one that asks.',
      ].join('\n'),
      tables: [names.map((name) => rowOf(name, slices[name], median(ratios(name, bare)), costs[name]))],
      verdicts: [...pairs].map(([name, to]) => {
        const bar = { atLeast: 1 };
        return { measure: `requests with ${name} to ${to}`, bar, ...judge(ratios(name, to), bar) };
      }),
    };
  } finally {
    load.close();
    await server.stop();
  }
}

function requestsOf(load) {
  const of = (path, keys) => Array.from({ length: keys }, (_, key) => load.request(path, { 'x-client': key }));
  return new Map([
    [bare, of('/bare', 1)],
    [byHandHot, of('/by-hand', 1)],
    [oursHot, of('/limited', 1)],
    [byHandMany, of('/by-hand', manyKeys)],
    [oursMany, of('/limited', manyKeys)],
  ]);
}

function rowOf(name, slices, toBare, costs) {
  const figure = (of) => median(slices.map((one) => one[of]));
  return {
    route: name,
    'per second': Math.round(figure('perSecond')),
    'to the bare route': `${toBare.toFixed(2)}x`,
    'app CPU': `${figure('appCpuMicros').toFixed(1)} us`,
    'Redis CPU': `${figure('redisCpuMicros').toFixed(1)} us`,
    'load CPU': `${figure('loadCpuMicros').toFixed(1)} us`,
    'messages to Redis': costs.messages,
    'bytes to / from Redis': costs.bytes,
  };
}
