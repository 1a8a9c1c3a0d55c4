// What the page says with each request, beside the cookie. A browser sends a cookie to every port of this machine, so
// other users of it may see the cookie; what scripts keep is kept for this port alone.

const KEPT = "neurofetch-key";

/** @returns {string} */
function found() {
  const meta = document.querySelector('meta[name="neurofetch-key"]');
  const given = meta instanceof HTMLMetaElement ? meta.content : "";
  try {
    if (given) sessionStorage.setItem(KEPT, given);
    return given || (sessionStorage.getItem(KEPT) ?? "");
  } catch {
    return given; // a browser that keeps nothing: a reload needs the whole address again
  }
}

const key = found();

/** Whether this tab was opened with the whole address. */
export const HAS_KEY = key !== "";

/** What a request has in its headers. */
export const KEY = { "X-Neurofetch-Key": key };

/**
 * Returns an address for what sends no headers of ours: pictures, and streams of events.
 *
 * @param {string} path
 */
export function withKey(path) {
  return `${path}${path.includes("?") ? "&" : "?"}key=${encodeURIComponent(key)}`;
}
