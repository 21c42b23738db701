/** When something is due: so long from now, or at a moment; both by the server's clock, in milliseconds. */
export type DueTime = { readonly inMs: number } | { readonly atMs: number };

/** The two arguments that {@link readDueTime} reads. */
export function dueTimeArguments(due: DueTime): [kind: 'in' | 'at', ms: number] {
  return 'inMs' in due ? ['in', due.inMs] : ['at', due.atMs];
}

/** Lua: the server's time in `now`, and the due time that stands in two arguments in `due`; both in milliseconds. */
export const readDueTime = (kind: string, ms: string): string => `
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local due = tonumber(${ms})
    if ${kind} == 'in' then due = now + due end`;

/** What a message id stands for, as long as its message is delayed; afterwards it is the id of an entry, or still this word. */
export const delayedMarker = 'delayed';
