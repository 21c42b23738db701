/** What a process tells its spec; each kind has fields of its own. */
export interface Report {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** In the process: tells the spec what happens there. */
export function tell(report: Report): void {
  process.send?.(report);
}

/** In the process: the options that the spec has started it with. */
export function givenOptions(): unknown {
  return JSON.parse(process.argv[2] ?? '{}');
}

/** In the process: it does not outlive the spec. */
export function endWithSpec(): void {
  process.on('disconnect', () => {
    process.exit();
  });
}
