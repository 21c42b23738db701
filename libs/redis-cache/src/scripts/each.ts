/**
 * Lua that calls `one(at)` for each pair of keys, and gathers what it returns in `replies`.
 *
 * An error of one of several ends none of the others: it is `{'error'}`, and whoever has asked asks for that one alone, where the error is the script's.
 */
export const eachLua = `
    local count = #KEYS / 2
    local replies = {}
    for at = 1, count do
      if count == 1 then
        replies[at] = one(at)
      else
        local done, reply = pcall(one, at)
        replies[at] = done and reply or { 'error' }
      end
    end`;

export function repliesOf(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw new TypeError('cache: unexpected reply of a script');
  return reply;
}
