// Sliders and lists to choose from, each with its name.

import { el, freshId, say } from "./dom.js";
import { value } from "./format.js";

/**
 * @param {string} title
 * @param {number} low
 * @param {number} high
 * @param {number} now
 * @param {(to: number) => void} act
 * @param {number} [step]
 * @param {(at: number) => string} [text]
 */
export function slider(title, low, high, now, act, step = (high - low) / 200 || 1, text = value) {
  const id = freshId();
  const shown = el("span", { class: "slider-value" }, text(now));
  const input = el("input", {
    id,
    type: "range",
    min: String(low),
    max: String(high),
    step: String(step),
    oninput: () => {
      const to = Number(input.value);
      say(shown, text(to));
      input.setAttribute("aria-valuetext", text(to));
      act(to);
    },
  });
  input.value = String(now);
  input.setAttribute("aria-valuetext", text(now));
  return el("div", { class: "slider" }, el("label", { htmlFor: id }, title), shown, input);
}

/**
 * @param {string} title
 * @param {[string, string][]} options Values and texts.
 * @param {string} chosen
 * @param {(to: string) => void} act
 */
export function select(title, options, chosen, act) {
  const id = freshId();
  const list = el("select", { id, onchange: () => act(list.value) }, options.map(([name, text]) => el("option", { value: name, selected: name === chosen }, text)));
  return el("div", { class: "field" }, el("label", { htmlFor: id }, title), list);
}

/** What the viewer's own names of colours do not tell. @type {Record<string, string>} */
const COLOURS = {
  gray: "grey",
  kry: "black, red, yellow",
  warm: "orange, yellow",
  hot: "black, red, yellow, white",
  redyell: "red, yellow",
  blue2red: "blue, red",
  winter: "blue, green",
  cool: "cyan, magenta",
  random: "one for each number",
};

/**
 * @param {string[]} names As the viewer calls them.
 * @param {string} chosen
 * @param {(to: string) => void} act
 */
export function colours(names, chosen, act) {
  return select("Colours", names.map((name) => [name, COLOURS[name] ?? name]), chosen, act);
}
