import type { Report } from './instances.js';

/** Tells the spec what happens in this process. */
export function tell(report: Report): void {
  process.send?.(report);
}

/** The options that the spec has started this process with. */
export function givenOptions(): unknown {
  return JSON.parse(process.argv[2] ?? '{}');
}

/** This process does not outlive the spec. */
export function endWithSpec(): void {
  process.on('disconnect', () => {
    process.exit();
  });
}
