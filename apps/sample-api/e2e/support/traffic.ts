import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { types } from 'node:util';

/** What became of one request: an answer, or the error of the connection. */
export interface Outcome {
  /** 0 without an answer. */
  readonly status: number;
  readonly body: { readonly [member: string]: unknown };
  readonly ms: number;
  /** Whether the server has said that it closes the connection. */
  readonly isLast: boolean;
  /** Why there is no answer, e.g. `ECONNREFUSED`. */
  readonly error?: string;
}

/** The connections of one test, kept alive from request to request as a proxy does it. An error is an outcome; nothing is repeated. */
export class Traffic implements Disposable {
  readonly outcomes: Outcome[] = [];
  readonly #agent = new Agent({ keepAlive: true });

  get(url: string): Promise<Outcome> {
    return this.#send('GET', url);
  }

  book(address: string, flightId: number, seat: string): Promise<Outcome> {
    return this.#send('POST', `${address}/bookings`, { flightId, seat, passenger: { name: 'Amelia Earhart' } });
  }

  async #send(method: string, url: string, body?: object): Promise<Outcome> {
    const startedAt = performance.now();
    const outcome = await this.#exchange(method, url, body).catch((error: unknown) => ({
      status: 0,
      body: {},
      isLast: true,
      error: types.isNativeError(error) && 'code' in error ? String(error.code) : String(error),
    }));
    const timed = { ...outcome, ms: performance.now() - startedAt };
    this.outcomes.push(timed);
    return timed;
  }

  async #exchange(method: string, url: string, body: object | undefined): Promise<Omit<Outcome, 'ms'>> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const sent = request(url, { method, headers, agent: this.#agent }, resolve);
      sent.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body));
    });
    const content = await text(response);
    return {
      status: response.statusCode ?? 0,
      body: JSON.parse(content) as Outcome['body'],
      isLast: response.headers.connection === 'close',
    };
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** How many there are of each status, and of each error. */
export function tally(outcomes: Outcome[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status, error } of outcomes) counts[error ?? status] = (counts[error ?? status] ?? 0) + 1;
  return counts;
}

/** Seats nobody has booked yet, one after the other: flight by flight, row by row. */
export function* seatsFrom(flightId: number): Generator<[flightId: number, seat: string], never> {
  for (let flight = flightId; ; flight += 1) {
    for (let row = 1; row <= 30; row += 1) {
      for (const letter of 'ABCDEF') yield [flight, `${row}${letter}`];
    }
  }
}

/** Watches for how long this process stands still, because the machine has let it wait. */
export function watchPauses(): Disposable & { readonly longestMs: number } {
  let longestMs = 0;
  let last = performance.now();
  const look = () => {
    const now = performance.now();
    longestMs = Math.max(longestMs, now - last);
    last = now;
  };
  const timer = setInterval(look, 10);
  return {
    get longestMs() {
      return longestMs;
    },
    [Symbol.dispose]: () => {
      clearInterval(timer);
    },
  };
}

/** So many workers at once, each taking the next task when it is done with its last, until one says `false`: then that worker is done. */
export async function inParallel(workers: number, task: (worker: number) => Promise<boolean>): Promise<void> {
  const work = async (worker: number) => {
    while (await task(worker));
  };
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
}
