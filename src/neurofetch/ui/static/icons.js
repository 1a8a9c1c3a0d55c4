// The icons of the page, as paths in a box of 24.

/** @type {Record<string, string>} */
const PATHS = {
  brain:
    "M9.5 3.5a3 3 0 0 0-3 3 3.2 3.2 0 0 0-2.4 4.8A3.4 3.4 0 0 0 5.6 17a3 3 0 0 0 3.4 3.3 2.6 2.6 0 0 0 3-2.5V6a2.5 2.5 0 0 0-2.5-2.5ZM14.5 3.5a3 3 0 0 1 3 3 3.2 3.2 0 0 1 2.4 4.8 3.4 3.4 0 0 1-1.5 5.7 3 3 0 0 1-3.4 3.3 2.6 2.6 0 0 1-3-2.5V6a2.5 2.5 0 0 1 2.5-2.5ZM8 9.5c.6 1 1.6 1.4 2.6 1.2M16 9.5c-.6 1-1.6 1.4-2.6 1.2M7.5 14.8c.9-.3 1.7-.1 2.4.6M16.5 14.8c-.9-.3-1.7-.1-2.4.6",
  bucket: "M4 7c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3Zm0 0 1.6 11c.2 1.2 3 2 6.4 2s6.2-.8 6.4-2L20 7",
  openneuro: "M12 3v18M3 12h18M5.6 5.6l12.8 12.8M18.4 5.6 5.6 18.4",
  neurovault: "M4 5h16v14H4zM4 10h16M9 5v14M13 14h3",
  directory: "M3 7a2 2 0 0 1 2-2h4l2 2.5h8a2 2 0 0 1 2 2V17a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2Z",
  laion: "M3 6h18v12H3zM3 15l5-4.5 4 3.5 3-2.5 6 4.5M16 9.5h.01",
  check: "m5 12.5 4.5 4.5L19 7.5",
  copy: "M9 9h10v11H9zM5 15V4h10",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5Z",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.5v15l12-7.5Z",
  stop: "M6 6h12v12H6z",
  down: "M12 4v12M6.5 11 12 16.5 17.5 11M5 20h14",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12ZM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6Z",
  warning: "M12 3.5 2.5 20h19ZM12 10v4.5M12 17.3h.01",
  error: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 7.5v5.5M12 16.3h.01",
  away: "M3 3l18 18M8.5 16.5a5 5 0 0 1 7 0M5 13a10 10 0 0 1 5.2-2.8M19 13a10 10 0 0 0-2.5-1.9M12 20h.01",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM16 16l5 5",
  table: "M3 5h18v14H3zM3 10h18M3 14.5h18M9 10v9",
  picture: "M3 5h18v14H3zM3 16l5-5 4 4 3-3 6 5M16 9h.01",
  text: "M6 3h8l4 4v14H6zM9 12h6M9 16h6M14 3v4h4",
  volume: "M12 3 4 7v10l8 4 8-4V7ZM4 7l8 4 8-4M12 11v10",
  surface: "M3 17c3-8 6-11 9-11s6 3 9 11c-3-2-6-3-9-3s-6 1-9 3Z",
  next: "M5 12h14M13 6l6 6-6 6",
  clear: "M6 6l12 12M18 6 6 18",
};

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an icon, which screen readers pass over.
 *
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name] ?? PATHS.text ?? "");
  svg.append(path);
  return svg;
}
