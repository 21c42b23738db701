// npm run bench [-- core lock …]: prints our speed as ratios to raw ioredis, interleaved in one run on a server of its own.
// npm run bench:peers: the rows of locks, of consume() and of streams, with other libraries in the same run.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { RedisServer } from '@redstart/redis-testing';
import { cacheBenches } from './cache.bench.mjs';
import { coreBenches } from './core.bench.mjs';
import { describeMachine, load } from './lib/machine.mjs';
import { describeBars, describeSection } from './lib/report.mjs';
import { ServerCounters } from './lib/server-counters.mjs';
import { lockBenches } from './lock.bench.mjs';
import { allLimiters } from './limiters/index.mjs';
import { allLockers } from './lockers/index.mjs';
import { consumeBenches, ratelimitBenches } from './ratelimit.bench.mjs';
import { streamsBenches } from './streams.bench.mjs';

const benches = {
  core: coreBenches,
  lock: lockBenches,
  ratelimit: ratelimitBenches,
  cache: cacheBenches,
  streams: streamsBenches,
  'lock-peers': (context) => lockBenches(context, allLockers),
  'ratelimit-peers': (context) => consumeBenches(context, allLimiters),
  'streams-peers': (context) => streamsBenches(context, { peers: true }),
};
/** Peers have to be installed first: they run only when they are asked for. */
const byDefault = ['core', 'lock', 'ratelimit', 'cache', 'streams'];

const { chosen, rounds, save } = readArguments();
const server = await RedisServer.start();
const counters = new ServerCounters(server.url);
let missed = 0;
try {
  const machine = await describeMachine(server.url);
  console.log(`${machine}\n`);
  for (const name of chosen) missed += await run(name, machine);
} finally {
  counters.close();
  await server.stop();
}
console.log(missed === 0 ? 'Every bar was met.' : `${missed} bars were missed on this machine, in this run.`);
process.exitCode = missed === 0 ? 0 : 1;

function readArguments() {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: 'string', default: '11' }, save: { type: 'boolean', default: false } },
  });
  const unknown = positionals.filter((name) => !(name in benches));
  const rounds = Number(values.rounds);
  if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) {
    console.error(
      [
        unknown.length > 0 ? `Unknown bench ${unknown.join(', ')}.` : `--rounds takes a number, not ${values.rounds}.`,
        `Usage: npm run bench [-- ${Object.keys(benches).join(' | ')} …] [--rounds 11] [--save]`,
      ].join('\n'),
    );
    process.exit(1);
  }
  return { chosen: positionals.length > 0 ? positionals : byDefault, rounds, save: values.save };
}

/** @returns {Promise<number>} how many bars were missed */
async function run(name, machine) {
  const sections = [];
  const loadBefore = load();
  await benches[name]({
    url: server.url,
    counters,
    rounds,
    publish(section) {
      sections.push(section);
      console.log(`${describeSection(section)}\n`);
    },
  });
  const bars = describeBars(sections);
  console.log(`${bars}\n`);
  if (save)
    keep(name, [machine, `Load average ${loadBefore} before, ${load()} after; ${rounds} rounds.`], sections, bars);
  return sections.flatMap(({ verdicts }) => verdicts).filter(({ passed }) => passed === false).length;
}

/** Writes what was printed where the repository keeps it. */
function keep(name, facts, sections, bars) {
  const date = new Date().toISOString().slice(0, 10);
  const script = name.endsWith('-peers')
    ? `npm run bench:peers -- ${name.replace('-peers', '')}`
    : `npm run bench -- ${name}`;
  const command = `${script} --rounds ${rounds} --save`;
  const head = `# ${name}\n\nMeasured on ${date} by \`${command}\`.\n\n${facts.map((fact) => `- ${fact}`).join('\n')}`;
  const file = fileURLToPath(new URL(`results/${name}.md`, import.meta.url));
  writeFileSync(file, `${[head, bars, ...sections.map(describeSection)].join('\n\n')}\n`);
  console.log(`Kept in bench/results/${name}.md.\n`);
}
