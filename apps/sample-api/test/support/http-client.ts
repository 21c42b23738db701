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
  post(path: string, body: string | Uint8Array | null, type: string | null = 'application/json'): Promise<Answer> {
    // Of bytes `fetch` does not guess a media type.
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    return this.#ask(path, { method: 'POST', body: bytes, headers: type === null ? {} : { 'content-type': type } });
  }

  book(body: unknown): Promise<Answer> {
    return this.post('/bookings', JSON.stringify(body));
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
