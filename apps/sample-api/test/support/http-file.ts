/** One request of a `.http` file, as written: its `{{variables}}` are filled in when it is sent. */
export interface WrittenRequest {
  readonly title: string;
  /** What others call its answer. */
  readonly name: string | undefined;
  /** The status beside it. */
  readonly status: number;
  /** How often it has to be sent to get that. */
  readonly times: number;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

export interface HttpFile {
  readonly variables: ReadonlyMap<string, string>;
  readonly requests: readonly WrittenRequest[];
}

/**
 * Reads the format of the REST Client and of JetBrains' HTTP client, as far as we use it: `@variable = value`, requests behind `###`,
 * comments with `#`. A comment that is a number is the status that is expected; "sent 61 times" in a title means just that.
 */
export function parseHttpFile(text: string): HttpFile {
  const [head = '', ...parts] = text.split(/^###/m);
  const definitions = [...head.matchAll(/^@(\w+) *= *(.*)$/gm)];
  return {
    variables: new Map(definitions.map(([, name = '', value = '']) => [name, value.trim()])),
    requests: parts.map(parseRequest),
  };
}

function parseRequest(part: string): WrittenRequest {
  const [title = '', ...lines] = part.split('\n').map((line) => line.trimEnd());
  const comments = lines.filter((line) => line.startsWith('#')).map((line) => line.slice(1).trim());
  const [head = '', ...paragraphs] = lines
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .trim()
    .split('\n\n');
  const [requestLine = '', ...headerLines] = head.split('\n');
  const [, method, url] = /^([A-Z]+) (\S+)$/.exec(requestLine) ?? [];
  const status = comments.find((comment) => /^\d{3}$/.test(comment));
  if (method === undefined || url === undefined || status === undefined) {
    throw new Error(`"###${part}" needs a status (# 200) and a request (GET {{host}}/…).`);
  }
  return {
    title: title.trim() || requestLine,
    name: comments.map((comment) => /^@name (\w+)$/.exec(comment)?.[1]).find((name) => name !== undefined),
    status: Number(status),
    times: Number(/sent (\d+) times/.exec(title)?.[1] ?? 1),
    method,
    url,
    headers: Object.fromEntries(headerLines.map((line) => line.split(/: */, 2))) as Record<string, string>,
    body: paragraphs.length === 0 ? undefined : paragraphs.join('\n\n'),
  };
}

/** Fills in `{{variable}}` and, out of a named answer, `{{name.response.body.field}}`. */
export function fillIn(
  text: string,
  variables: ReadonlyMap<string, string>,
  answers: ReadonlyMap<string, unknown>,
): string {
  return text.replace(/\{\{(\w+)(?:\.response\.body\.(\w+))?\}\}/g, (written, name: string, field?: string) => {
    const answer = answers.get(name);
    const value = field === undefined ? variables.get(name) : fieldOf(answer, field);
    if (value === undefined) throw new Error(`${written} is not defined.`);
    return value;
  });
}

function fieldOf(answer: unknown, field: string): string | undefined {
  return typeof answer === 'object' && answer !== null && field in answer
    ? String(Object.entries(answer).find(([key]) => key === field)?.[1])
    : undefined;
}
