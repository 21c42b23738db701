// Starts a server without ever stopping it, tells who it is, and ends as its first argument says.
import process from 'node:process';

const [, , library, ending, delay] = process.argv;
const { RedisServer } = await import(library);

if (ending === 'killed-while-starting') setTimeout(() => process.kill(process.pid, 'SIGKILL'), Number(delay));

const server = await RedisServer.start();
if (ending === 'killed-while-paused') server.pause();
process.stdout.write(`${JSON.stringify({ pid: server.pid })}\n`);

if (ending === 'exits') process.exit(0);
if (ending === 'throws') throw new Error('as planned');
if (ending.startsWith('killed')) setInterval(() => undefined, 1_000);
// 'returns': nothing is left to do, and the server must not keep the process alive
