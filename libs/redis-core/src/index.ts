export { RedisModule, type RedisModuleAsyncOptions } from './redis.module.js';
export {
  defaultConnectionName,
  type NodeAddress,
  type RedisClient,
  type RedisModuleOptions,
  type RedisOptionsBase,
} from './redis.options.js';
export {
  getRedisConnectionToken,
  getRedisPoolToken,
  getRedisToken,
  InjectRedis,
  InjectRedisPool,
} from './redis.tokens.js';
export {
  CorruptValueError,
  InvalidKeyError,
  OptionsError,
  PoolExhaustedError,
  RedisCommandError,
  RedisUnavailableError,
  RedstartError,
  UnsupportedValueError,
  type CommandOutcome,
  type ErrorResponse,
} from './redis.errors.js';

export { RedisConnection, type CallAttempt, type RedisCall } from './connection/redis-connection.js';
export { RedisConnections } from './connection/redis-connections.js';
export { isCluster, mastersOf, ownerOf } from './connection/cluster.js';
export { Capabilities } from './connection/capabilities.js';
export { withinBudget } from './connection/budget.js';
export { isOutage } from './connection/failures.js';
export { RedisPool } from './pool/redis-pool.js';
export { SubscriberHub, type Subscription, type SubscriptionHandlers } from './subscriber/subscriber-hub.js';

export { defineScript, type Script, type ScriptArgument, type ScriptFlag } from './script/define-script.js';
export { evaluate, ScriptRunner, type ScriptCall } from './script/script-runner.js';

export { encodeSubject, KeySpace, type Key, type KeyPart } from './keys/key-space.js';
export { hashSlot } from './keys/hash-slot.js';
export { durationMs, formatDuration, type Duration } from './time/duration.js';
export { systemClock, type Cancel, type Clock } from './time/clock.js';
export { ManualClock } from './time/manual-clock.js';
export { createCodec, type Codec, type CodecOptions } from './codec/codec.js';
export { createCompression, type Compression, type CompressionOptions } from './codec/compression.js';
export { LeaseRenewer, type Renewal, type RenewalGroup } from './lease/lease-renewer.js';

export { bindMethod } from './binding/bind-method.js';
export { injectRuntime } from './binding/runtime-property.js';
export type { MethodBinding, MethodCall, Proceed } from './binding/method-binding.js';
export type { KeyDoesNotFit, KeyedMethodDecorator, KeyOf } from './binding/key-of.js';
export { MethodCancelledError, MethodResultError, UnboundMethodError } from './binding/binding.errors.js';
export { RedstartExceptionFilter } from './http/redstart-exception.filter.js';
export { describeError, type ErrorDescription } from './telemetry/describe-error.js';
export { Warnings } from './telemetry/warnings.js';
export { operationChannel, traceOperation, type OperationContext } from './telemetry/channels.js';

export type { AsyncOptions, OptionsFactory } from './module/async-options.js';
export { featureModule, type FeatureModuleDefinition, type FeatureModuleIdentity } from './module/feature-module.js';
export {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkKnownKeys,
  checkNumber,
  checkOneOf,
  checkText,
} from './options/check.js';
