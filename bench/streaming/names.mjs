/** What the others are compared with. */
export const baseline = 'plain ioredis';
/** Whom the bars are for. */
export const ours = 'redis-streams';
