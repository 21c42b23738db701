import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const workspace = join(import.meta.dirname, '../../../..');

/** A fenced block of code. */
export interface CodeBlock {
  readonly language: string;
  /** The heading that it stands under. */
  readonly heading: string;
  /** The line of the file on which its code begins. */
  readonly line: number;
  readonly code: string;
}

/** The fenced blocks of a Markdown file of the repository, in order. */
export function codeBlocks(path: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let heading = '';
  let open: { language: string; line: number; code: string[] } | undefined;
  const lines = readFileSync(join(workspace, path), 'utf8').split('\n');
  for (const [index, text] of lines.entries()) {
    const fence = /^```(\w*)$/.exec(text);
    if (open === undefined) {
      if (fence) open = { language: fence[1] ?? '', line: index + 2, code: [] };
      else heading = /^#+ (.*)$/.exec(text)?.[1] ?? heading;
    } else if (fence) {
      blocks.push({ ...open, heading, code: `${open.code.join('\n')}\n` });
      open = undefined;
    } else open.code.push(text);
  }
  if (open !== undefined) throw new Error(`${path}: the block at line ${open.line} has no end.`);
  return blocks;
}

/** The only block of a language under a heading. */
export function onlyBlock(path: string, heading: string, language: string): string {
  const found = codeBlocks(path).filter((block) => block.heading === heading && block.language === language);
  const [block] = found;
  if (block === undefined || found.length > 1) {
    throw new Error(`${path} has ${found.length} blocks of ${language} under "${heading}"; one is expected.`);
  }
  return block.code;
}
