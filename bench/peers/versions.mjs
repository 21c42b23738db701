/** The libraries that ours are measured against, at exactly these versions: figures of another version are other figures. */
export const lockerVersions = {
  redlock: '5.0.0-beta.2',
  '@sesamecare-oss/redlock': '1.4.0',
  'redis-semaphore': '5.8.0',
  'redlock-universal': '0.8.5',
};

export const limiterVersions = {
  'rate-limiter-flexible': '11.4.0',
  '@nest-lab/throttler-storage-redis': '1.2.0',
};

export const queueVersions = {
  bullmq: '6.7.0',
};

/** What is there only because one of them asks for it. */
const companions = {
  ioredis: '6.0.0',
  '@nestjs/throttler': '6.7.1',
  '@nestjs/common': '11.2.10',
  '@nestjs/core': '11.2.10',
};

export const peerVersions = { ...lockerVersions, ...limiterVersions, ...queueVersions, ...companions };
