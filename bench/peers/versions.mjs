/** The libraries that ours is measured against, at exactly these versions: figures of another version are other figures. */
export const peerVersions = {
  redlock: '5.0.0-beta.2',
  '@sesamecare-oss/redlock': '1.4.0',
  'redis-semaphore': '5.8.0',
  'redlock-universal': '0.8.5',
};
