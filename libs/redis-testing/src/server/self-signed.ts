import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { RedisTestingError } from '../errors.js';

/** A certificate for 127.0.0.1 and localhost that is its own authority, made for one server and valid for two days. */
export interface SelfSigned {
  readonly certFile: string;
  readonly keyFile: string;
  /** The certificate in PEM, for a client's `tls.ca`. */
  readonly ca: string;
}

/** @throws RedisTestingError when the `openssl` command is missing or fails */
export async function makeSelfSigned(directory: string): Promise<SelfSigned> {
  const certFile = join(directory, 'tls.crt');
  const keyFile = join(directory, 'tls.key');
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'.split(
    ' ',
  );
  const names = ['-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  try {
    await promisify(execFile)('openssl', [...request, ...names, '-keyout', keyFile, '-out', certFile]);
  } catch (cause) {
    throw new RedisTestingError(
      'SERVER_START_FAILED',
      `A server with { tls: true } needs the openssl command to make its certificate: ${String(cause)}`,
      { cause },
    );
  }
  return { certFile, keyFile, ca: await readFile(certFile, 'utf8') };
}
