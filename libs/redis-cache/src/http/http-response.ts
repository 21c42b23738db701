import type { HttpAdapterHost } from '@nestjs/core';
import { isStream } from '../decorators/streams.js';

type Adapter = HttpAdapterHost['httpAdapter'];

type HeaderValue = number | string | readonly string[] | undefined;

/** Headers by their names. */
export type HeaderValues = ReadonlyMap<string, readonly string[]>;

/** What Express and Fastify have in common of a response. */
interface FrameworkResponse {
  readonly statusCode: number;
  getHeaders(): Readonly<Record<string, HeaderValue>>;
  /** Express: its settings say how JSON is written. */
  readonly app?: { get(setting: string): unknown };
  removeHeader(name: string): unknown;
  /** Fastify: by the schema of the route, where it has one. */
  serialize?(payload: unknown): string | Buffer;
}

/** A response of Express or Fastify, through Nest's adapter. Names of headers are in lower case. */
export class HttpResponse {
  constructor(
    readonly raw: FrameworkResponse,
    private readonly adapter: Adapter,
  ) {}

  get isExpress(): boolean {
    return this.adapter.getType() === 'express';
  }

  get isSent(): boolean {
    return this.adapter.isHeadersSent(this.raw) === true;
  }

  get status(): number {
    return this.raw.statusCode;
  }

  set status(status: number) {
    this.adapter.status(this.raw, status);
  }

  /** Several of one name as one list, which means the same of all that are kept. */
  headers(): [name: string, value: string][] {
    return Object.entries(this.raw.getHeaders()).flatMap(([name, value]) => {
      const text = textOf(value);
      return text === undefined ? [] : [[name.toLowerCase(), text]];
    });
  }

  header(name: string): string | undefined {
    return textOf(this.adapter.getHeader(this.raw, name));
  }

  setHeader(name: string, value: string): void {
    this.adapter.setHeader(this.raw, name, value);
  }

  /** As they were set: cookies can't be told from each other in one text. */
  get values(): HeaderValues {
    return new Map(Object.entries(this.raw.getHeaders()).map(([name, value]) => [name, listOf(value)]));
  }

  /** Puts back what has been changed since, and removes what was not there. */
  set values(values: HeaderValues) {
    for (const [name, now] of this.values) {
      const before = values.get(name) ?? [];
      if (before.length === now.length && before.every((value, index) => value === now[index])) continue;
      this.raw.removeHeader(name);
    }
    for (const [name, before] of values) {
      if (this.header(name) !== undefined) continue;
      for (const value of before) this.adapter.appendHeader(this.raw, name, value);
    }
  }
}

function listOf(value: HeaderValue): readonly string[] {
  return value === undefined ? [] : [value].flat().map(String);
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return `${value}`;
  return Array.isArray(value) ? value.join(', ') : undefined;
}

/** The bytes that the framework would send. */
export interface Body {
  readonly content: string | Buffer | undefined;
  /** What it would say of them, where nothing is said; `undefined` leaves that to it. */
  readonly contentType: string | undefined;
}

const json = 'application/json; charset=utf-8';

/**
 * Writes what a handler has returned as the framework would: both let strings pass as they are.
 *
 * @returns `'stream'` for what can be read once, `'body'` for what the framework would refuse, or does not send as it is
 */
export function bodyOf(value: unknown, response: HttpResponse): Body | 'stream' | 'body' {
  if (isStream(value) || (typeof Response === 'function' && value instanceof Response)) return 'stream';
  if (value === undefined || value === null) return { content: undefined, contentType: undefined };
  if (typeof value === 'string') return { content: value, contentType: undefined };
  if (value instanceof Error || typeof value === 'function' || typeof value === 'symbol') return 'body';
  return response.isExpress ? expressBody(value, response) : fastifyBody(value, response);
}

/** Nest's adapter sends JSON of objects, binary data included, and texts of other values. */
function expressBody(value: object | number | bigint | boolean, { raw }: HttpResponse): Body | 'body' {
  if (typeof value !== 'object') return { content: String(value), contentType: undefined };
  if (raw.app?.get('json escape') === true) return 'body';
  const replacer = raw.app?.get('json replacer');
  const spaces = raw.app?.get('json spaces');
  const text: unknown = Reflect.apply(JSON.stringify, JSON, [value, replacer, spaces]);
  return typeof text === 'string' ? { content: text, contentType: json } : 'body';
}

function fastifyBody(value: object | number | bigint | boolean, response: HttpResponse): Body | 'body' {
  if (value instanceof Uint8Array) {
    return { content: Buffer.from(value.buffer, value.byteOffset, value.byteLength), contentType: undefined };
  }
  const contentType = response.header('content-type');
  // Fastify refuses to send an object as anything else.
  if (contentType !== undefined && !contentType.includes('json')) return 'body';
  const content = response.raw.serialize?.(value);
  if (typeof content !== 'string') return 'body';
  return { content, contentType: json };
}
