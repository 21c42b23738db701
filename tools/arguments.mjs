/** The command line: `npm start`, `npm run demo`, `npm test [-- --project <name> …]` and the suites in other surroundings, and the benches. */
import { SERVERS } from './servers.mjs';

const COMMANDS = [
  'start',
  'demo',
  'test',
  'test:servers',
  'test:cluster',
  'test:near',
  'test:ioredis5',
  'bench',
  'bench:peers',
];

export const usage = `Usage:
  npm start                          run the sample API with its own Redis and database
  npm run demo                       send it traffic for a while and sum up what each library did
  npm test                           run every check and every test
  npm test -- --project redis-lock   only this project (may be repeated); the repository's own checks run as well
  npm run test:servers               the libraries' suites and the sample API on ${Object.keys(SERVERS).join(', ')}; name some to run only on those
  npm run test:cluster               what the libraries' suites have on a Cluster, on three masters and three replicas
  npm run test:near                  what the cache promises in any case, with its near tier on
  npm run test:ioredis5              the libraries' suites and the sample API's specs with ioredis 5
  npm run bench [-- core lock …]     our speed against plain ioredis; --rounds n, and --save keeps it in bench/results
  npm run bench:peers                our locks and limits and those of other libraries, in one run

Environment:
  PORT               npm start: the port of the sample API
  REDIS_URL          npm start: use this Redis instead of a private one (demo and tests never do)
  DATABASE_URL       npm start: use this PostgreSQL instead of the built-in one (demo and tests never do)
  DEMO_SECONDS       npm run demo: how long the traffic goes on, 4 to 300 (default 20)
  REDIS_SERVER_BIN   the redis-server or valkey-server to run
  CI                 npm test: run everything, take nothing from the cache`;

/** The command line asks for something that does not exist. */
export class UsageError extends Error {
  name = 'UsageError';
}

/**
 * @param {string[]} argv
 * @returns {{ command: string, projects: string[], servers: string[], words: string[], help: boolean }} `words`: what a bench is told
 */
export function parseArguments(argv) {
  const [command, ...rest] = argv;
  const request = { command, projects: [], servers: [], words: [], help: false };
  if (command === '--help' || command === '-h') return { ...request, help: true };
  if (!COMMANDS.includes(command)) {
    throw new UsageError(command ? `There is no command "${command}".` : 'Which command?');
  }
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [option, value] = splitOption(word);
    if (option === '--help' || option === '-h') request.help = true;
    else if (command.startsWith('bench')) request.words.push(word);
    else if (command === 'test' && /^(--projects?|-p)$/.test(option)) {
      request.projects.push(...projectNames(option, value ?? rest.shift()));
    } else if (command === 'test:servers' && word in SERVERS) request.servers.push(word);
    else throw new UsageError(`${nameOf(command)} does not know "${word}".`);
  }
  return request;
}

function splitOption(word) {
  const at = word.indexOf('=');
  return word.startsWith('--') && at > 0 ? [word.slice(0, at), word.slice(at + 1)] : [word, undefined];
}

function projectNames(option, value) {
  const names = (value ?? '').split(',').filter(Boolean);
  if (names.length === 0 || names[0].startsWith('-')) throw new UsageError(`${option} needs the name of a project.`);
  return names;
}

/** npm has short ways for two of its scripts. */
const nameOf = (command) => (['start', 'test'].includes(command) ? `npm ${command}` : `npm run ${command}`);
