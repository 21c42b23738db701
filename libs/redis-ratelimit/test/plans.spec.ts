import { gcra } from '../src/index.js';
import { PlanBook } from '../src/deciding/plan.js';
import { compilePolicy } from '../src/policies/policy.js';

describe('the plans of calls', () => {
  const policy = compilePolicy('api', gcra({ rate: 1_000_000, per: '1h' }), 'local');
  const planOf = (book: PlanBook, cost: number) => book.planOf([{ policy, cost }], true);

  it('are made once, so that calls can be merged and denials found again', () => {
    const book = new PlanBook();
    expect(planOf(book, 1)).toBe(planOf(book, 1));
    expect(planOf(book, 2)).toBe(planOf(book, 2));
    expect(planOf(book, 2)).not.toBe(book.planOf([{ policy, cost: 2 }], false));
  });

  it('are forgotten when there are very many, since costs are the choice of callers', () => {
    const book = new PlanBook();
    const [one, two] = [planOf(book, 1), planOf(book, 2)];
    for (let cost = 3; cost <= 1_000; cost++) planOf(book, cost);
    expect([planOf(book, 1), planOf(book, 2)]).toEqual([one, two]);
    expect(planOf(book, 2)).toBe(two);
    planOf(book, 1_001);
    expect(planOf(book, 2)).not.toBe(two);
    expect(planOf(book, 1)).not.toBe(one);
  });
});
