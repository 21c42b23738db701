import { RedisCommandError, RedisUnavailableError } from '@redstart/redis-core';
import { askAgain } from '../src/ask-again.js';
import { failureOf } from './support.js';

describe('a question whose answer may get lost', () => {
  /** Answers with the number of the question, or with what is set for it. */
  const asking = (...failures: Error[]) => {
    const state = { asked: 0 };
    const send = () => {
      const failure = failures[state.asked++];
      return failure === undefined ? Promise.resolve(state.asked) : Promise.reject(failure);
    };
    return { state, send };
  };
  const unknown = new RedisUnavailableError('no answer', 'unknown');
  const notSent = new RedisUnavailableError('no connection', 'not-executed');
  const refused = new RedisCommandError('WRONGTYPE', 'WRONGTYPE');

  it('is asked once when it is answered', async () => {
    expect(await askAgain(asking().send)).toEqual({ answer: 1, repeated: false });
  });

  it('is asked once more when nobody knows whether it was carried out, and says so', async () => {
    const { send, state } = asking(unknown);
    expect([await askAgain(send), state.asked]).toEqual([{ answer: 2, repeated: true }, 2]);
    const twice = asking(unknown, notSent);
    expect([await failureOf(askAgain(twice.send)), twice.state.asked]).toEqual([notSent, 2]);
  });

  it.each([
    ['was not carried out for sure', notSent],
    ['was refused', refused],
  ])('is not asked again when it %s', async (_why, failure) => {
    const { send, state } = asking(failure);
    expect([await failureOf(askAgain(send)), state.asked]).toEqual([failure, 1]);
  });
});
