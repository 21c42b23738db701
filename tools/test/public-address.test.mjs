import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publicAddress } from '../public-address.mjs';

test('tells where a server is', () => {
  assert.equal(publicAddress('redis://example.org:6380/3'), 'redis://example.org:6380/3');
  assert.equal(publicAddress('postgres://app@127.0.0.1:5432/shop'), 'postgres://127.0.0.1:5432/shop');
});

for (const address of [
  'redis://:S3CRET@example.org',
  'redis://user:S3CRET@example.org:6379/0',
  'redis://S3CRET@example.org',
  'redis://user:S3C/RET@example.org',
  'redis://user:12/S3CRET@example.org',
  'redis://user:12#S3CRET@example.org',
  'redis://user:12?S3CRET@example.org',
  'redis://user:S3@CRET@example.org',
  'redis://user:%S3CRET@example.org',
  'redis://example.org?password=S3CRET',
  'redis:user:S3CRET@example.org',
  'user:S3CRET@example.org',
  ':S3CRET@example.org',
  'S3CRET',
  'postgres://user:S3CRET@/shop?host=/var/run',
]) {
  test(`keeps the password of ${address}`, () => {
    assert.doesNotMatch(publicAddress(address), /S3C|CRET/);
  });
}
