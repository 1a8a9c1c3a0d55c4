// Which view is shown is in the address, after the #: a reload and the back button find it again.

/**
 * @typedef {{parts: string[], query: URLSearchParams}} Route
 */

/**
 * Returns the route that an address names.
 *
 * @param {string} [hash]
 * @returns {Route}
 */
export function routeOf(hash = location.hash) {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(decoded);
  return { parts, query: new URLSearchParams(query) };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // an address that somebody typed
  }
}

/**
 * Returns the address of a view.
 *
 * @param {string[]} parts
 * @param {URLSearchParams} [query]
 */
export function hashOf(parts, query) {
  const text = query?.toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/**
 * Goes to a view.
 *
 * @param {string[]} parts
 * @param {URLSearchParams} [query]
 */
export function go(parts, query) {
  location.hash = hashOf(parts, query);
}

/**
 * Changes the address of the view that is shown, without another entry in the history.
 *
 * @param {URLSearchParams} query
 */
export function remember(query) {
  const { parts } = routeOf();
  history.replaceState(null, "", location.pathname + hashOf(parts, query));
}
