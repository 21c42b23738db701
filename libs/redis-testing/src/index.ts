export {
  RedisCluster,
  type ClusterClientOptions,
  type MigrateSlotOptions,
  type RedisClusterOptions,
} from './cluster/redis-cluster.js';
export { commandsDuring, serversOf } from './commands.js';
export {
  ClusterNotReadyError,
  FaultNotPossibleError,
  ForeignServerError,
  RedisTestingError,
  type RedisTestingErrorCode,
  SentinelNotReadyError,
  ServerBinaryError,
  ServerNotRunningError,
  ServerStartError,
} from './errors.js';
export { ConditionNotMetError, eventually, type EventuallyOptions } from './eventually.js';
export { FaultProxy } from './proxy/fault-proxy.js';
export type { DropReplyOptions } from './proxy/faults/drop-reply.js';
export type { FaultHandle, Way } from './proxy/faults/fault.js';
export type { LatencyOptions } from './proxy/faults/latency.js';
export { RedisSentinel, type RedisSentinelOptions } from './sentinel/redis-sentinel.js';
export type { Address, ClientOptions, Endpoint } from './server/endpoint.js';
export { RedisServer } from './server/redis-server.js';
export type { RedisServerOptions } from './server/server-command.js';
export { describeOn } from './topology/describe-on.js';
export {
  cluster,
  sentinel,
  standalone,
  type RunningTopology,
  type Topology,
  type TopologyConnection,
  type TopologyName,
} from './topology/topology.js';
export { TopologyMisusedError, type TopologyUnderTest } from './topology/topology-under-test.js';
