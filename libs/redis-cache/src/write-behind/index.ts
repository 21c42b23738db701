export { WriteBehindModule, type WriteBehindBinding } from './write-behind.module.js';
export type { WriteBehindOptions } from './write-behind.options.js';
export type { WriteBehindTarget, WrittenBehind } from './write-behind.target.js';
export { WriteBehind } from './write-behind.js';
export type { WriteBehindBacklog } from './backlog.js';
export { getWriteBehindToken, InjectWriteBehind } from './write-behind.tokens.js';
export { WriteBehindFullError } from './write-behind.errors.js';
