import { inspect } from 'node:util';
import { describeError } from '../src/index.js';

const throwing = (): never => {
  throw new Error('no');
};

describe('what was thrown', () => {
  it('is described by its parts when it is an error', () => {
    const error = new TypeError('of the wrong type');
    expect(describeError(error)).toEqual({ name: 'TypeError', message: 'of the wrong type', stack: error.stack });
  });

  it.each([
    ['a text', 'gone wrong', 'gone wrong'],
    ['undefined', undefined, 'undefined'],
    ['null', null, 'null'],
    ['an object', { code: 7 }, '{ code: 7 }'],
    ['an object without a prototype', Object.create(null), '[Object: null prototype] {}'],
    ['a symbol', Symbol('odd'), 'Symbol(odd)'],
    ['an object that can not be shown', { [inspect.custom]: throwing }, 'it can not be described'],
  ])('is described when it is %s', (_, thrown: unknown, message) => {
    expect(describeError(thrown)).toEqual({ name: '', message, stack: '' });
  });

  it('is described in texts, whatever the parts of an error are', () => {
    const odd: Error = Object.assign(new Error('x'), {
      name: Symbol('odd'),
      message: { code: 7 },
      stack: [1, 2],
    });
    expect(describeError(odd)).toEqual({ name: 'Symbol(odd)', message: '{ code: 7 }', stack: '[ 1, 2 ]' });
    const closed = Object.defineProperty(new Error('x'), 'message', { get: throwing });
    expect(describeError(closed).message).toBe('it can not be described');
    expect(describeError(Object.assign(new Error('x'), { message: undefined })).message).toBe('');
  });

  it('is described even when it can not be asked for its class', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const { name, message } = describeError(proxy);
    expect(name).toBe('');
    expect(message).not.toBe('');
  });
});
