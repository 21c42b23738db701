/** Short, so that what a dead consumer had is taken over within a test; long enough for a busy machine to renew in time. The lease of a partition is as long. */
export const minIdleMs = 1_500;
