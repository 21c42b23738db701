/** What hears of this process' own changes: the near tier. */
export interface ChangeListener {
  /** @returns when the others have been told, if that takes time */
  changed(keys: readonly string[]): Promise<void> | undefined;
  changedMany(): Promise<void> | undefined;
}

/** Lets the near tier know of what this process changes in Redis, where there is one. */
export class NearChanges {
  constructor(private readonly listener: ChangeListener | undefined) {}

  /** What has been changed, or may have, is forgotten by the near tier before the caller goes on. */
  async changing<T>(keys: readonly string[], work: Promise<T>): Promise<T> {
    try {
      return await work;
    } finally {
      await this.listener?.changed(keys);
    }
  }

  /** As {@link changing}, for a caller whom nobody waits for. */
  changed(keys: readonly string[]): void {
    void this.listener?.changed(keys);
  }

  /** Values have been deleted that nobody has counted. */
  async changedMany(): Promise<void> {
    await this.listener?.changedMany();
  }
}
