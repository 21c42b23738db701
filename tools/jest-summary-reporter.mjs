/**
 * A Jest reporter: writes the numbers of one project's run to `.cache/<target>-results.json` in the project.
 *
 * The file is an output of the Nx target (see nx.json), so a result that Nx takes from its cache brings its numbers along and
 * `npm test` can count it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const resultsFile = (projectRoot, target) => join(projectRoot, '.cache', `${target}-results.json`);

export default class JestSummaryReporter {
  #testNamePattern;

  constructor({ testNamePattern } = {}) {
    this.#testNamePattern = testNamePattern;
  }

  onRunComplete(_contexts, results) {
    const target = process.env.NX_TASK_TARGET_TARGET;
    // Somebody who runs Jest by hand wants to read its output, and no file.
    if (!target) return;
    const file = resultsFile(process.cwd(), target);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, JSON.stringify(summarize(results, this.#testNamePattern)));
  }
}

/**
 * A suite that could not even be loaded has no tests to count, and is one failure itself.
 *
 * @param {string} [testNamePattern] which tests were asked for. The others don't belong to this run: Jest calls them pending, and they are no skipped ones.
 */
export function summarize(results, testNamePattern) {
  const askedFor = testNamePattern ? new RegExp(testNamePattern, 'i') : undefined;
  const skippedNames = namesOf(results, ['pending', 'todo', 'disabled']).filter((name) => askedFor?.test(name) ?? true);
  return {
    passed: results.numPassedTests,
    failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
    skipped: skippedNames.length,
    failedNames: namesOf(results, ['failed']),
    skippedNames,
  };
}

function namesOf(results, statuses) {
  const tests = results.testResults.flatMap((suite) => suite.testResults);
  return tests.filter((test) => statuses.includes(test.status)).map((test) => test.fullName);
}
