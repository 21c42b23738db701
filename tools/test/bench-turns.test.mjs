import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Turns } from '../../bench/contention/turns.mjs';
import { startingWith } from '../../bench/lib/compare.mjs';
import { describeBars } from '../../bench/lib/report.mjs';
import { judge, quantile } from '../../bench/lib/statistics.mjs';

describe('the turns of a lock', () => {
  it('puts those of all processes in order, and measures each hand-off from letting go to having', () => {
    const turns = new Turns(0, [
      ['b', 0, 3, 4],
      ['a', 0, 1, 2],
      ['a', 2, 4.5, 6],
    ]);
    assert.deepEqual(turns.handOffsMs, [1, 0.5]);
    assert.deepEqual(turns.waitsMs, [1, 3, 2.5]);
    assert.equal(turns.tookMs, 6);
    assert.equal(turns.overlaps, 0);
    assert.equal(turns.unfairness(2), 2);
  });

  it('sees that two had the lock at once', () => {
    const turns = new Turns(0, [
      ['a', 0, 1, 3],
      ['b', 0, 2, 4],
    ]);
    assert.equal(turns.overlaps, 1);
  });

  it('sees it in a long turn that outlasts several others', () => {
    const turns = new Turns(0, [
      ['a', 0, 1, 10],
      ['b', 0, 2, 3],
      ['c', 0, 4, 5],
    ]);
    assert.equal(turns.overlaps, 2);
  });

  it('counts who takes it again, and calls it unfair without end when a worker got nothing', () => {
    const turns = new Turns(0, [
      ['a', 0, 1, 2],
      ['a', 2, 3, 4],
      ['b', 0, 5, 6],
    ]);
    assert.equal(turns.retakenShare, 0.5);
    assert.equal(turns.unfairness(3), Infinity);
  });
});

describe('a bar', () => {
  it('is met by a median at or above it with a lower quartile above 0.95 of it', () => {
    assert.equal(judge([0.96, 0.96, 1, 1, 1], { atLeast: 1 }).passed, true);
    assert.equal(judge([0.9, 0.9, 1, 1, 1], { atLeast: 1 }).passed, false);
    assert.equal(judge([0.96, 0.98, 0.99, 1, 1], { atLeast: 1 }).passed, false);
  });

  it('is met the other way round when it is a maximum', () => {
    assert.equal(judge([1, 1, 1, 1.04, 1.04], { atMost: 1 }).passed, true);
    assert.equal(judge([1, 1, 1, 1.1, 1.1], { atMost: 1 }).passed, false);
    assert.equal(judge([0, 0, 0], { atMost: 0 }).passed, true);
    assert.equal(judge([0, 0, 1], { atMost: 0 }).passed, false);
  });

  it('judges nothing where there is none', () => {
    assert.equal(judge([1], undefined).passed, undefined);
  });

  it('is printed with what came of it', () => {
    const row = { measure: 'throughput', bar: { atLeast: 1 }, median: 1.234, lower: 1, upper: 2, passed: false };
    assert.match(
      describeBars([{ title: 'GET', verdicts: [row] }]),
      /\| GET +\| throughput \| at least 1 \| 1\.23 +\| 1 - 2 +\| MISSED +\|/,
    );
  });
});

it('takes quantiles of numbers, not of their text', () => {
  assert.equal(quantile([10, 9, 100, 1], 0.5), 10);
});

it('begins a cycle of rounds with each contender once, and has each come after every other', () => {
  for (const names of [
    ['a', 'b'],
    ['a', 'b', 'c'],
  ]) {
    const orders = Array.from({ length: names.length * 2 }, (_, round) => startingWith(round, names));
    for (const cycle of [orders.slice(0, names.length), orders.slice(names.length)]) {
      assert.deepEqual(cycle.map(([first]) => first).sort(), names);
    }
    const successions = orders.flatMap((order) => order.slice(1).map((name, at) => order[at] + name));
    assert.equal(new Set(successions).size, names.length * (names.length - 1));
  }
});
