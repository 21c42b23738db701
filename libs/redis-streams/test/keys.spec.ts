import { KeySpace } from '@redstart/redis-core';
import { delayKeys, streamKeys } from '../src/keys.js';

describe('the keys of groups', () => {
  it('are never those of another group, whatever it is called', () => {
    const keys = streamKeys(new KeySpace('shop'), 'orders');
    const of = (group: string) => {
      const { due, delayed } = delayKeys(keys.retry(group));
      const { deadLetters, retry, paused, members, owner, inbox } = keys;
      const single = [deadLetters, retry, paused, members, owner].map((key) => key(group));
      return [...single, due, delayed, inbox(group, 'x'), inbox(group, 'due')];
    };
    const groups = ['billing', 'billing:due', 'billing:delayed', 'billing%3Adue', 'billing:x'];
    const all = groups.flatMap(of);
    expect(new Set(all).size).toBe(all.length);
    expect(keys.retry('billing')).toBe('shop:stream:{orders}:retry:billing');
  });
});
