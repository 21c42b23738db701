import { eventually } from '@redstart/redis-testing';
import fc from 'fast-check';
import { poll, quorumOf, verdictOf, type Poll } from '../src/quorum/votes.js';
import { deferred } from './support.js';

const ballots = fc.array(fc.constantFrom('yes', 'no', 'error'), { minLength: 1, maxLength: 9 });
type Ballot = 'yes' | 'no' | 'error';

const votesOf = (cast: readonly Ballot[]) =>
  cast.map((ballot, index) => ({
    node: `node-${index}`,
    cast: ballot === 'error' ? Promise.reject(new Error('down')) : Promise.resolve(ballot === 'yes'),
  }));
const of = (cast: readonly Ballot[], kind: Ballot) => cast.filter((ballot) => ballot === kind).length;

describe('the votes of a quorum', () => {
  it.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
    [6, 4],
    [7, 4],
  ])('of %i nodes need %i', (nodes, needed) => {
    expect(quorumOf(nodes)).toBe(needed);
  });

  it('are decided exactly when no outcome of the remaining ones could decide otherwise', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(9), fc.nat(9), (nodes, votesFor, against) => {
        fc.pre(votesFor + against <= nodes);
        const rest = nodes - votesFor - against;
        // The model counts heads: more than half of all nodes, were the rest to say no, or yes.
        const wonAtWorst = votesFor * 2 > nodes;
        const wonAtBest = (votesFor + rest) * 2 > nodes;
        expect(verdictOf(nodes, votesFor, against)).toBe(wonAtWorst ? 'won' : wonAtBest ? 'open' : 'impossible');
      }),
    );
  });

  it('are never open once all are cast, ties included, and never won by two', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(9), (nodes, mine) => {
        fc.pre(mine <= nodes);
        const [one, two] = [verdictOf(nodes, mine, nodes - mine), verdictOf(nodes, nodes - mine, mine)];
        expect(one).not.toBe('open');
        expect([one, two]).not.toEqual(['won', 'won']);
      }),
    );
  });

  it('are counted in whatever order they come, and as soon as they decide', async () => {
    await fc.assert(
      fc.asyncProperty(ballots, async (cast) => {
        const spare = cast.length - quorumOf(cast.length);
        const result = await poll(votesOf(cast));
        expect(result.verdict).toBe(of(cast, 'yes') * 2 > cast.length ? 'won' : 'impossible');
        // Nothing is known of the votes behind the deciding one, so these can only be too few.
        if (result.denied) expect(of(cast, 'no')).toBeGreaterThan(spare);
        if (result.unreachable) expect(of(cast, 'error')).toBeGreaterThan(spare);
        expect(result.refusals.length).toBeLessThanOrEqual(spare + 1);
      }),
    );
  });

  it('do not wait for a node that is silent and no longer matters', async () => {
    const silent = { node: 'silent', cast: new Promise<boolean>(() => undefined) };
    const [yes, no] = [
      { node: 'yes', cast: Promise.resolve(true) },
      { node: 'no', cast: Promise.resolve(false) },
    ];
    const failing = () => ({ node: 'down', cast: Promise.reject(new Error('down')) });
    const verdicts: [Poll, Partial<Poll>][] = [
      [await poll([silent, yes, yes]), { verdict: 'won', refusals: [] }],
      [await poll([silent, no, no]), { verdict: 'impossible', denied: true, unreachable: false }],
      [await poll([failing(), silent, failing()]), { verdict: 'impossible', denied: false, unreachable: true }],
      [await poll([failing(), no, silent]), { verdict: 'impossible', denied: false, unreachable: false }],
      // A tie of four: two for, two against, and no third vote to come.
      [await poll([yes, yes, no, no]), { verdict: 'impossible', denied: true, unreachable: false }],
      [await poll([yes, silent, no, no]), { verdict: 'impossible', denied: true }],
    ];
    for (const [result, expected] of verdicts) expect(result).toMatchObject(expected);
  });

  it('tell afterwards what came behind the verdict, which stands', async () => {
    const late = deferred();
    const result = await poll([
      { node: 'no', cast: Promise.resolve(false) },
      { node: 'down', cast: Promise.reject(new Error('down')) },
      { node: 'late', cast: late.promise.then(() => Promise.reject(new Error('down, too'))) },
    ]);
    expect(result.byNow()).toMatchObject({ verdict: 'impossible', denied: false, unreachable: false });
    late.resolve();
    await eventually(() => result.byNow().unreachable);
    expect(result.byNow().refusals.map(({ node }) => node)).toEqual(['no', 'down', 'late']);
    expect(result).toMatchObject({ unreachable: false, refusals: [{ node: 'no' }, { node: 'down' }] });
  });
});
