/** The value of one line of INFO, CLUSTER INFO and the like: `name:value`. */
export function infoField(info: string, name: string): string | undefined {
  return info
    .split('\n')
    .find((line) => line.startsWith(`${name}:`))
    ?.slice(name.length + 1)
    .trim();
}
