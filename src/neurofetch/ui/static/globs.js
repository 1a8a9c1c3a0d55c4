// Globs as the commands read them: see --include in docs/get.md. Pure.

const TOKEN = /((?<![^/])\*\*\/(?:\*\*\/)*)|(\*+)|(\?)|(\[[!^]?\]*[^\]]*\])|([^])/gu;
const MOST = 200; // alternatives in braces

/**
 * Returns a test of whether a path matches any of these globs; null without globs.
 *
 * @param {string[]} globs
 * @returns {((path: string) => boolean) | null}
 */
export function globTest(globs) {
  const given = globs.map((one) => one.trim()).filter(Boolean);
  if (!given.length) return null;
  const sources = given.flatMap(alternatives).map(source);
  const whole = new RegExp(`^(?:${sources.join("|")})$`, "su");
  return (path) => whole.test(path);
}

/**
 * Returns the globs that the braces of one stand for.
 *
 * @param {string} glob
 * @returns {string[]}
 */
function alternatives(glob) {
  const found = [glob];
  const open = [glob];
  while (open.length && found.length <= MOST) {
    const one = /** @type {string} */ (open.pop());
    const braces = /\{([^{}]*,[^{}]*)\}/.exec(one);
    if (!braces) {
      found.push(one);
      continue;
    }
    const [all, inside = ""] = braces;
    const after = one.slice(braces.index + all.length);
    open.push(...inside.split(",").map((choice) => one.slice(0, braces.index) + choice + after));
  }
  return [...new Set(found)];
}

/**
 * Returns the regular expression of a glob without braces.
 *
 * @param {string} glob
 */
function source(glob) {
  const body = glob.replace(/\/+$/, "");
  const tail = body === "**" || body.endsWith("/**") ? "" : glob.slice(body.length);
  const bare = body.replace(/^(?:\.\/+|\/+)+/, "");
  const anchored = bare.length < body.length;
  const byName = !anchored && !bare.includes("/");
  const star = anchored || byName ? "[^/]*" : ".*";
  const text = bare.replace(TOKEN, (token, deep, stars, one, set) => {
    if (deep) return "(?:.*(?<![^/]))?";
    if (stars) return stars.length > 1 ? ".*" : star;
    if (one) return "[^/]";
    if (set) return setSource(set);
    return token.replace(/[\\^$.*+?()[\]{}|/-]/gu, (/** @type {string} */ letter) => (letter === "-" ? "-" : `\\${letter}`));
  });
  return `${byName ? "(?:.*/)?" : ""}${text}${tail ? "/.*" : "(?:/.*)?"}`;
}

/** @param {string} set */
function setSource(set) {
  const negated = set[1] === "!" || set[1] === "^";
  const inner = set.slice(negated ? 2 : 1, -1).replace(/[\\\][&~|^]/g, (letter) => `\\${letter}`);
  return inner ? `(?!/)[${negated ? "^" : ""}${inner}]` : "\\[\\]";
}
