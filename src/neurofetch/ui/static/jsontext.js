// JSON that was written on one line, in lines. Its numbers and letters stay as they are in the file. Pure.

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const WIDE = 72; // letters of a list that stays on its line
const DEEPEST = 100; // lists in lists: what is deeper would be little but spaces, and may be gigabytes of them

/**
 * Returns a text with a line for each member, or as it is where it is no JSON, or lists in lists in lists.
 *
 * @param {string} text
 */
export function inLines(text) {
  try {
    JSON.parse(text);
  } catch {
    return text; // cut, or something else
  }
  const tokens = text.match(TOKEN) ?? [];
  let made = "";
  let deep = 0;
  const line = () => `\n${"  ".repeat(deep)}`;
  for (let n = 0; n < tokens.length; n += 1) {
    const token = tokens[n] ?? "";
    if (token === "[" || token === "{") {
      const short = onOneLine(tokens, n);
      if (short) {
        made += short.text;
        n = short.end;
      } else {
        deep += 1;
        if (deep > DEEPEST) return text;
        made += token + line();
      }
    } else if (token === "]" || token === "}") {
      deep -= 1;
      made += line() + token;
    } else if (token === ",") made += token + line();
    else made += token === ":" ? ": " : token;
  }
  return made;
}

/**
 * Returns a list of plain values, or what is empty, on a line; null where it is too long for one.
 *
 * @param {string[]} tokens
 * @param {number} begin
 */
function onOneLine(tokens, begin) {
  let text = tokens[begin] ?? "";
  for (let end = begin + 1; end < tokens.length && text.length <= WIDE; end += 1) {
    const token = tokens[end] ?? "";
    if (token === "[" || token === "{" || token === ":") return null;
    text += token === "," ? ", " : token;
    if (token === "]" || token === "}") return { text, end };
  }
  return null;
}
