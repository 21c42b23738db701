/** The command was not understood. Told with the usage; nothing was sent to Redis. */
export class UsageError extends Error {}

export const usage = `Looks after the groups and dead letters of Redis Streams.

Usage: redstart-streams <command> <stream> [group] [options]

Commands
  groups        <stream>          every group: lag, pending, ages, retrying, dead letters
  lag           <stream> <group>  how many entries the group has never been given, counted exactly
  pending       <stream> <group>  what it was given and has not acknowledged, by consumer
  dead-letters  <stream> <group>  what it gave up on; with --json also the messages
  replay        <stream> <group>  gives dead letters back to this group, with all their attempts
  purge         <stream> <group>  deletes dead letters for good
  reset         <stream> <group>  lets the group go on from --to
  pause         <stream> <group>  keeps its consumers from beginning anything new, until resume
  resume        <stream> <group>

Where
  --url <url>            redis:// or rediss://; better in the environment as REDIS_URL, since others see the arguments of a process
  --cluster              the server of --url is a node of a Redis Cluster
  --namespace <name>     the namespace of RedisModule; or REDSTART_NAMESPACE
  --partitions <number>  of a partitioned stream

Which dead letters (replay and purge want one of these, or --all)
  --id <id>              may be given several times
  --reason <reason>      attempts, unrecoverable, schema, undecodable, unknown-type, deliveries
  --type <event>
  --error <name>         the name of the last error
  --before <date>        given up before, e.g. 2026-01-31T12:00:00Z
  --after <date>
  --all

Others
  --limit <number>       of dead-letters, 100 at most without it
  --rate <number>        of replay, letters a second, 100 without it
  --to <where>           of reset: start, end, the id of an entry, or a date
  --json                 one JSON value on the standard output
  --help

Exit codes: 0 done, 1 failed, 2 not understood, 130 interrupted (what was done stays done).
`;
