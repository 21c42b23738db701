export { Instance } from './instance.js';
export { endWithSpec, givenOptions, tell, type Report } from './report.js';
export { obey } from './obey.js';
export { OrderedProcess } from './ordered-process.js';
export { Programs } from './programs.js';
