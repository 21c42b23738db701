/** Asks the sample API. Never throws: a request without an answer has the status 0. */

const PATIENCE = 15_000;

/**
 * @typedef {{ request: string, status: number, code?: string, body: any }} Answer `request`: the method and the first part of the path
 */
export class ApiClient {
  constructor(origin) {
    this.origin = origin;
  }

  /** @returns {Promise<Answer>} */
  get(path) {
    return this.#ask('GET', path);
  }

  /** @returns {Promise<Answer>} */
  book(flightId, seat, name = 'Amelia Earhart') {
    return this.#ask('POST', '/bookings', { flightId, seat, passenger: { name } });
  }

  async #ask(method, path, body = undefined) {
    const request = `${method} ${/^\/[^/?]*/.exec(path)[0]}`;
    try {
      const response = await fetch(`${this.origin}${path}`, {
        method,
        signal: AbortSignal.timeout(PATIENCE),
        ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
      const answer = await response.json();
      return { request, status: response.status, code: answer?.code, body: answer };
    } catch {
      return { request, status: 0, body: undefined };
    }
  }
}
