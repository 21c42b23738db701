/**
 * Reads comma-separated values (RFC 4180): a field in quotes may hold commas, line breaks and doubled quotes.
 * The first row names the columns; a row with another number of fields is an error.
 */
export function* readCsv(text: string): Generator<Record<string, string>> {
  const rows = readRows(text);
  const header = rows.next();
  if (header.done) return;
  let line = 1;
  for (const fields of rows) {
    line += 1;
    if (fields.length !== header.value.length) {
      throw new Error(`Row ${line} has ${fields.length} fields, its header has ${header.value.length}.`);
    }
    yield Object.fromEntries(header.value.map((name, column) => [name, fields[column] ?? '']));
  }
}

function* readRows(text: string): Generator<string[], undefined> {
  // One field and what ends it: either quoted, with "" for a quote, or anything up to a comma or a line break.
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  let row: string[] = [];
  while (field.lastIndex < text.length) {
    const start = field.lastIndex;
    const match = field.exec(text);
    if (!match) throw new Error(`The text is not CSV at character ${start}.`);
    const [, quoted, bare = '', end] = match;
    row.push(quoted === undefined ? bare : quoted.replaceAll('""', '"'));
    if (end === ',' && field.lastIndex < text.length) continue;
    if (end === ',') row.push('');
    yield row;
    row = [];
  }
  return undefined;
}
