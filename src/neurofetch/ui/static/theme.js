// Dark or light: as the system has it, until the reader chooses.

import { icon } from "./icons.js";
import { byId, fill } from "./dom.js";

const KEY = "neurofetch-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // a browser that keeps nothing: the system's theme it is
  }
}

/** @param {string} theme */
function remember(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // it holds until the page is closed
  }
}

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
}

/** Puts the switch into use. */
export function startTheme() {
  const chosen = remembered();
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  const button = byId("theme");
  const show = () => {
    const next = isDark() ? "light" : "dark";
    fill(button, icon(isDark() ? "sun" : "moon"));
    button.setAttribute("aria-label", `Change to the ${next} theme`);
    button.title = `Change to the ${next} theme`;
  };
  button.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    remember(next);
    show();
  });
  dark.addEventListener("change", show);
  show();
}
