import { Logger } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import { propertyOf } from './properties.js';

/** What a framework needs of a request to tell who sent it. */
interface Forwarded {
  readonly socket: { readonly remoteAddress: string };
  readonly headers: Readonly<Record<string, unknown>>;
}

/** What a framework was told about proxies. */
interface ProxyTrust {
  /** What to set, for messages. */
  readonly option: string;
  readonly trustsNobody: boolean;
  /** The address that the framework takes for the client's. */
  addressOf(request: Forwarded): unknown;
}

const header = 'x-forwarded-for';

/** A peer and more proxies than anybody runs, all of them of networks for documentation: whoever believes the first of them believes anybody. */
const incredible: Forwarded = {
  socket: { remoteAddress: '192.0.2.1' },
  headers: { [header]: ['198.51.100.1', ...Array.from({ length: 99 }, () => '203.0.113.1')].join(', ') },
};

/**
 * The addresses of clients, as the framework trusts them: of its own requests, and of the handshakes that it never sees.
 *
 * The first time that somebody asks, it looks at what the framework was told of proxies, and warns once of what makes all clients one, or each client as many as it likes.
 */
export class ClientAddresses {
  readonly #adapterHost: HttpAdapterHost;
  readonly #logger = new Logger('RateLimit');
  #trust: ProxyTrust | undefined;
  #inspected = false;
  #warnedOfNobody = false;

  constructor(adapterHost: HttpAdapterHost) {
    this.#adapterHost = adapterHost;
  }

  of(request: object): string | undefined {
    this.#inspect();
    const forwarded = propertyOf(propertyOf(request, 'headers'), header) !== undefined;
    if (forwarded && this.#trust?.trustsNobody === true) this.#warnOfNobody(this.#trust.option);
    const own = propertyOf(request, 'ip');
    if (isAddress(own)) return own;
    return this.#ofHandshake(request, forwarded);
  }

  #ofHandshake(request: object, forwarded: boolean): string | undefined {
    const peer = propertyOf(propertyOf(request, 'socket'), 'remoteAddress');
    if (!isAddress(peer)) return undefined;
    if (!forwarded || this.#trust === undefined) return peer;
    const headers = { [header]: propertyOf(propertyOf(request, 'headers'), header) };
    const address = this.#trust.addressOf({ socket: { remoteAddress: peer }, headers });
    return isAddress(address) ? address : peer;
  }

  /** Not at boot: `trust proxy` is set between the building of an application and its first request. */
  #inspect(): void {
    if (this.#inspected) return;
    this.#inspected = true;
    this.#trust = proxyTrustOf(this.#adapterHost);
    if (this.#trust?.addressOf(incredible) !== '198.51.100.1') return;
    this.#logger.warn(
      `${this.#trust.option} trusts every proxy, so clients choose the address that they are limited by: they write X-Forwarded-For. Name the proxies that you run instead.`,
    );
  }

  #warnOfNobody(option: string): void {
    if (this.#warnedOfNobody) return;
    this.#warnedOfNobody = true;
    this.#logger.warn(
      `A request has the header X-Forwarded-For, but ${option} is off. If it came through a proxy of yours, all clients behind that share one limit by address: name your proxies there.`,
    );
  }
}

/** A request that has gone has an address no more. */
function isAddress(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function proxyTrustOf({ httpAdapter }: Partial<HttpAdapterHost>): ProxyTrust | undefined {
  const framework: unknown = httpAdapter?.getInstance();
  switch (httpAdapter?.getType()) {
    case 'express':
      return expressTrust(framework);
    case 'fastify':
      return fastifyTrust(framework);
    default:
      return undefined;
  }
}

/** Express' requests inherit from `app.request`, where the getter `ip` is, and ask `app` whom to trust. */
function expressTrust(app: unknown): ProxyTrust | undefined {
  const prototype = propertyOf(app, 'request');
  if (typeof app !== 'function' || typeof prototype !== 'object') return undefined;
  const settings: unknown = Reflect.get(app, 'settings');
  return {
    option: 'Express\' "trust proxy"',
    trustsNobody: propertyOf(settings, 'trust proxy') === false,
    addressOf: ({ socket, headers }) =>
      propertyOf(Object.create(prototype, { socket: { value: socket }, headers: { value: headers } }), 'ip'),
  };
}

/** Fastify makes a class of requests for each instance; its getter `ip` reads the raw request, and `ips` is there if somebody is trusted. */
function fastifyTrust(instance: unknown): ProxyTrust | undefined {
  if (typeof instance !== 'object' || instance === null) return undefined;
  const symbol = Object.getOwnPropertySymbols(instance).find(({ description }) => description === 'fastify.Request');
  const requestClass: unknown = symbol === undefined ? undefined : Reflect.get(instance, symbol);
  if (typeof requestClass !== 'function') return undefined;
  const prototype: unknown = requestClass.prototype;
  if (typeof prototype !== 'object' || prototype === null) return undefined;
  return {
    option: "Fastify's trustProxy",
    trustsNobody: !('ips' in prototype),
    addressOf: (raw) => propertyOf(Object.create(prototype, { raw: { value: raw } }), 'ip'),
  };
}
