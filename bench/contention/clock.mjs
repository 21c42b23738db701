/** Milliseconds on the monotonic clock of the machine, which all its processes share: what happened in two of them can be put in order. */
export const now = () => Number(process.hrtime.bigint()) / 1e6;
