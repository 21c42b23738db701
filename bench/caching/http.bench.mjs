import { startingWith } from '../lib/compare.mjs';
import { HttpLoad } from '../lib/http-load.mjs';
import { HttpServer, httpSlice } from '../lib/http-server.mjs';
import { countedCosts } from '../lib/operation-costs.mjs';
import { judge, median } from '../lib/statistics.mjs';

const program = new URL('http-server-process.mjs', import.meta.url);
const connections = 50;
const sliceMs = 500;
const bare = 'bare route';
const intercepted = 'interceptor with getOrSet';
const service = 'service with @Cacheable';
const paths = { [bare]: '/bare', [intercepted]: '/intercepted', [service]: '/service' };

/** Requests to Nest on Fastify, in a process of its own: what an answer from the near tier costs them. */
export async function httpBench({ url, counters, rounds }) {
  const server = await HttpServer.start(program, url);
  const load = await HttpLoad.open(server.port, connections);
  try {
    const names = Object.keys(paths);
    const requests = Object.fromEntries(names.map((name) => [name, [load.request(paths[name])]]));
    const slices = Object.fromEntries(names.map((name) => [name, []]));
    // By count, not by time: a route that has answered some thousand requests is compiled, on a slow machine too.
    for (const name of names) await load.run(requests[name], { count: 5_000 });
    for (let round = 0; round < rounds; round += 1) {
      for (const name of startingWith(round, names)) {
        slices[name].push(await httpSlice(() => load.run(requests[name], { ms: sliceMs }), { server, counters }));
      }
    }
    const costs = {};
    for (const name of names)
      costs[name] = await countedCosts(() => load.run(requests[name], { count: 2_000 }), counters);
    const ratios = (name) => slices[name].map(({ perSecond }, round) => perSecond / slices[bare][round].perSecond);
    const figure = (name, of) => median(slices[name].map((one) => one[of]));
    const bar = { atLeast: 0.75 };
    return {
      title: `HTTP on Fastify, ${connections} connections`,
      text: [
        'One application in a process of its own, whose routes answer 1 KB of JSON: one that nobody caches and that has the answer at hand, one with an interceptor around',
        '`getOrSet`, and one whose service has `@Cacheable`. The near tier answers; each request gets a copy of its own.',
      ].join('\n'),
      tables: [
        names.map((name) => ({
          route: name,
          'per second': Math.round(figure(name, 'perSecond')),
          'to the bare route': `${median(ratios(name)).toFixed(2)}x`,
          'app CPU': `${figure(name, 'appCpuMicros').toFixed(1)} us`,
          'load CPU': `${figure(name, 'loadCpuMicros').toFixed(1)} us`,
          'messages to Redis': costs[name].messages,
        })),
      ],
      verdicts: [intercepted, service].map((name) => ({
        measure: `requests with ${name} to the ${bare}`,
        bar,
        ...judge(ratios(name), bar),
      })),
    };
  } finally {
    load.close();
    await server.stop();
  }
}
