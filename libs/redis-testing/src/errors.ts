/** Why a call of this library failed; every error it throws carries one. */
export type RedisTestingErrorCode =
  | 'SERVER_BINARY_NOT_FOUND'
  | 'SERVER_START_FAILED'
  | 'SERVER_NOT_RUNNING'
  | 'FOREIGN_SERVER'
  | 'CLUSTER_NOT_READY'
  | 'SENTINEL_NOT_READY'
  | 'FAULT_NOT_POSSIBLE'
  | 'TOPOLOGY_MISUSED'
  | 'CONDITION_NOT_MET';

/** Base of every error of this library. `code` is stable; the message says what to do. */
export class RedisTestingError extends Error {
  constructor(
    readonly code: RedisTestingErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** No Redis or Valkey server was found to start. */
export class ServerBinaryError extends RedisTestingError {
  constructor(message: string) {
    super('SERVER_BINARY_NOT_FOUND', message);
  }
}

/** The server exited, or did not become ready in time. `log` holds the last lines that it wrote. */
export class ServerStartError extends RedisTestingError {
  constructor(
    reason: string,
    readonly log: string,
    options?: ErrorOptions,
  ) {
    super('SERVER_START_FAILED', `${reason}\n${log === '' ? '(the server wrote nothing)' : log}`, options);
  }

  /** Whether somebody else listens on the port: another one may do. */
  get portTaken(): boolean {
    return this.log.includes('Address already in use');
  }
}

/** The call needs a running server, and this one was killed or stopped. */
export class ServerNotRunningError extends RedisTestingError {
  constructor(readonly port: number) {
    super('SERVER_NOT_RUNNING', `The Redis server of port ${port} is not running. Call restart() first.`);
  }
}

/** Another process answers on the port of our server, so nothing destructive was sent. */
export class ForeignServerError extends RedisTestingError {
  constructor(
    readonly port: number,
    readonly ownPid: number,
    readonly answeringPid: number,
  ) {
    super(
      'FOREIGN_SERVER',
      `Process ${answeringPid} answers on port ${port}, but the server started here is ${ownPid}. Nothing was flushed.`,
    );
  }
}

/** A slot could not be moved, or the nodes did not agree on one cluster in time. */
export class ClusterNotReadyError extends RedisTestingError {
  constructor(message: string, options?: ErrorOptions) {
    super('CLUSTER_NOT_READY', message, options);
  }
}

/** The sentinels cannot fail over now, or did not do it in time. */
export class SentinelNotReadyError extends RedisTestingError {
  constructor(message: string, options?: ErrorOptions) {
    super('SENTINEL_NOT_READY', message, options);
  }
}

/** The fault cannot be injected into this target. */
export class FaultNotPossibleError extends RedisTestingError {
  constructor(message: string) {
    super('FAULT_NOT_POSSIBLE', message);
  }
}
