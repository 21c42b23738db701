import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { summarize } from '../jest-summary-reporter.mjs';
import { readTap } from '../tap.mjs';
import { describeRows, failed, passed, reportOf, rowsOf, skipped, sum, totalLine } from '../totals.mjs';

const options = { targets: ['lint', 'build', 'test'], testTargets: ['test'] };
const task = (project, target, status) => ({
  project: `@redstart/${project}`,
  target,
  projectRoot: `libs/${project}`,
  status,
});
const counts = (passed, failed = 0, skipped = 0) => ({ passed, failed, skipped });
const rows = (tasks, results = {}) => rowsOf(tasks, { ...options, readResults: (one) => results[one.projectRoot] });

describe('the totals', () => {
  it('count each check of each project once, and the tests by their own numbers', () => {
    const all = rows([task('a', 'lint', 'success'), task('b', 'lint', 'failure'), task('a', 'test', 'failure')], {
      'libs/a': counts(10, 2, 1),
    });
    assert.equal(totalLine(sum([passed('format'), ...all])), '12 passed, 3 failed, 1 skipped');
  });

  it('count what comes from the cache, and say so', () => {
    const all = rows(
      [task('a', 'build', 'local-cache'), task('b', 'build', 'success'), task('a', 'test', 'local-cache')],
      {
        'libs/a': counts(10),
      },
    );
    assert.deepEqual(describeRows(all), ['build   2 passed (1 of 2 from cache)', 'test a  10 passed (from cache)']);
  });

  it('never count as passed what did not run', () => {
    const all = rows([task('a', 'build', 'failure'), task('b', 'build', 'skipped'), task('b', 'test', 'skipped')]);
    assert.equal(totalLine(sum(all)), '0 passed, 1 failed, 2 skipped');
    assert.deepEqual(describeRows(all).slice(2), [
      'skipped: build: b skipped',
      'skipped: test b: what it depends on has failed',
      'failed: build: a failed',
    ]);
  });

  it('count tests that ended without numbers, without tests, or with a failure outside of any test, as failed', () => {
    for (const [status, results] of [
      ['success', undefined],
      ['success', counts(0)],
      ['failure', counts(5)],
      ['stopped', undefined],
    ]) {
      assert.equal(sum(rows([task('a', 'test', status)], { 'libs/a': results })).failed, 1, status);
    }
  });

  it('name what failed and what was skipped, up to a length', () => {
    const many = Array.from({ length: 25 }, (_, at) => skipped('test a', `case ${at}`));
    const lines = describeRows([...many, failed('lint', 'b failed')]);
    assert.ok(lines.includes('skipped: test a: case 0') && lines.includes('skipped: and 5 more'));
    assert.equal(lines.at(-1), 'failed: lint: b failed');
  });

  it('are reported for each surroundings, and those in which nothing ran say why', () => {
    const specs = [{ title: 'test a', ...counts(10, 0, 2) }];
    const setUp = failed('set-up on valkey-9', 'no mirror');
    const surroundings = [
      { title: 'specs on Redis 7.0.15', rows: specs },
      { title: 'specs on valkey-9', rows: [setUp], reason: 'no mirror' },
    ];
    assert.equal(
      reportOf([...specs, setUp], surroundings),
      'specs on Redis 7.0.15: 10 passed, 0 failed, 2 skipped\nspecs on valkey-9: did not run: no mirror\n10 passed, 1 failed, 2 skipped\n',
    );
  });
});

it("Jest's numbers: a suite that cannot be loaded is a failure", () => {
  const results = {
    numPassedTests: 3,
    numFailedTests: 1,
    numRuntimeErrorTestSuites: 1,
    numPendingTests: 1,
    numTodoTests: 1,
    testResults: [
      {
        testResults: [
          { status: 'failed', fullName: 'a fails' },
          { status: 'pending', fullName: 'b waits' },
          { status: 'todo', fullName: 'c is to be' },
        ],
      },
    ],
  };
  assert.deepEqual(summarize(results), {
    passed: 3,
    failed: 2,
    skipped: 2,
    failedNames: ['a fails'],
    skippedNames: ['b waits', 'c is to be'],
  });
});

it("Node's numbers: cancelled tests are failures, and a report that was cut off is none", () => {
  const tap = 'not ok 1 - breaks\nok 2 - waits # SKIP\n# pass 4\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 0\n';
  assert.deepEqual(readTap(tap), {
    passed: 4,
    failed: 2,
    skipped: 1,
    failedNames: ['breaks'],
    skippedNames: ['waits'],
  });
  assert.equal(readTap(tap.slice(0, 50)), undefined);
});
