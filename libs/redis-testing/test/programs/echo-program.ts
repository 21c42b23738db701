import { endWithSpec, givenOptions, tell } from '../../src/programs/index.js';

const options = givenOptions() as { readonly greeting: string };
process.on('message', (message) => {
  tell({ event: 'heard', message });
});
endWithSpec();
tell({ event: 'ready', greeting: options.greeting, pid: process.pid });
