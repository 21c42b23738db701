import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { eventually } from './eventually.js';

/** What came back: its body is JSON, also when it is a problem. */
export interface Answer {
  readonly status: number;
  readonly type: string | null;
  readonly headers: Headers;
  readonly body: unknown;
}

/** Asks an application that listens. */
export class HttpClient {
  constructor(readonly origin: string) {}

  get(path: string): Promise<Answer> {
    return this.#ask(path);
  }

  /** @param type the media type that the body is declared to have; `null` declares none */
  post(
    path: string,
    body: string | Uint8Array | null,
    type: string | null = 'application/json',
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    // Of bytes `fetch` does not guess a media type.
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    return this.#ask(path, {
      method: 'POST',
      body: bytes,
      headers: { ...headers, ...(type !== null && { 'content-type': type }) },
    });
  }

  book(body: unknown): Promise<Answer> {
    return this.post('/bookings', JSON.stringify(body));
  }

  /**
   * Books as somebody does who takes a 503 at its word, as a machine that stalls may answer: asks again. The attempt before may have taken the lock all the same, so that too is waited for from then on.
   */
  async bookPatiently(body: unknown): Promise<Answer> {
    let refused = false;
    return eventually(async () => {
      const answer = await this.book(body);
      const { code } = answer.body as { code?: unknown };
      refused ||= answer.status === 503;
      if (refused && (answer.status === 503 || code === 'LOCK_NOT_ACQUIRED'))
        throw new Error(JSON.stringify(answer.body));
      return answer;
    });
  }

  cancel(bookingId: string): Promise<Answer> {
    return this.#ask(`/bookings/${bookingId}`, { method: 'DELETE' });
  }

  async #ask(path: string, request: RequestInit = {}): Promise<Answer> {
    const response = await fetch(`${this.origin}${path}`, request);
    const { status, headers } = response;
    return { status, type: headers.get('content-type'), headers, body: await response.json() };
  }
}

/** One connection, kept from request to request as a proxy does it. */
export class KeptConnection implements Disposable {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(readonly origin: string) {}

  /** @returns the status, and what the server says is to become of the connection */
  async get(path: string): Promise<{ status: number | undefined; connection: string | undefined }> {
    const [response] = (await once(get(`${this.origin}${path}`, { agent: this.#agent }), 'response')) as [
      IncomingMessage,
    ];
    await once(response.resume(), 'end');
    return { status: response.statusCode, connection: response.headers.connection };
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}
