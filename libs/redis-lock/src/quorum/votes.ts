/** How many of `nodes` are more than half: any two quorums have a node in common. */
export function quorumOf(nodes: number): number {
  return Math.floor(nodes / 2) + 1;
}

/** What the votes so far decide, whatever the ones to come. */
export type Verdict = 'open' | 'won' | 'impossible';

/**
 * Won by a quorum of votes; impossible as soon as the votes against leave too few for one. To wait for as many votes against as a quorum has
 * would never end where the nodes are even in number and the votes tied.
 */
export function verdictOf(nodes: number, votesFor: number, votesAgainst: number): Verdict {
  if (votesFor >= quorumOf(nodes)) return 'won';
  return votesAgainst > nodes - quorumOf(nodes) ? 'impossible' : 'open';
}

/** The vote of one node, on its way. A rejection is a vote against: nobody knows what it would have said. */
export interface Vote {
  readonly node: string;
  readonly cast: Promise<boolean>;
}

/** Why a node did not vote for it: it said no, or it failed. */
export type Refusal =
  | { readonly node: string; readonly failed: false }
  | { readonly node: string; readonly failed: true; readonly error: unknown };

export interface Poll {
  readonly verdict: Exclude<Verdict, 'open'>;
  /** Those that were known when the verdict became clear. */
  readonly refusals: readonly Refusal[];
  /** More nodes said no than a quorum can do without: no answer of the others could change that. */
  readonly denied: boolean;
  /** More nodes failed than a quorum can do without. */
  readonly unreachable: boolean;
  /** The same with the votes that have come in since: the verdict stands, but they may tell why. */
  byNow(): Poll;
}

/** Settles as soon as the verdict is clear, and never rejects: it does not wait for nodes that no longer matter. */
export function poll(votes: readonly Vote[]): Promise<Poll> {
  const spare = votes.length - quorumOf(votes.length);
  return new Promise<Poll>((resolve) => {
    const refusals: Refusal[] = [];
    let votesFor = 0;
    const known = (verdict: Poll['verdict']): Poll => {
      const failed = refusals.filter((refusal) => refusal.failed).length;
      return {
        verdict,
        refusals: [...refusals],
        denied: refusals.length - failed > spare,
        unreachable: failed > spare,
        byNow: () => known(verdict),
      };
    };
    const count = () => {
      const verdict = verdictOf(votes.length, votesFor, refusals.length);
      if (verdict !== 'open') resolve(known(verdict));
    };
    for (const { node, cast } of votes) {
      cast.then(
        (yes) => {
          if (yes) votesFor += 1;
          else refusals.push({ node, failed: false });
          count();
        },
        (error: unknown) => {
          refusals.push({ node, failed: true, error });
          count();
        },
      );
    }
  });
}
