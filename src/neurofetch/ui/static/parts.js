// Small parts that several views have: errors, empty states, figures, bars.

import { asProblem } from "./api.js";
import { el, fill } from "./dom.js";
import { sentence } from "./format.js";
import { icon } from "./icons.js";

/** @import { Child } from "./dom.js" */
/** @import { Problem } from "./types.js" */

/**
 * Says what went wrong and what can be done.
 *
 * @param {Problem} problem
 * @param {...Child} actions Buttons.
 */
export function problemBox(problem, ...actions) {
  return el(
    "div",
    { class: "problem", role: "alert" },
    icon("error"),
    el(
      "div",
      {},
      el("p", { class: "problem-what" }, sentence(problem.message)),
      problem.advice && el("p", { class: "problem-advice" }, sentence(problem.advice)),
      actions.length > 0 && el("div", { class: "buttons" }, actions),
    ),
  );
}

/**
 * Says that there is nothing, and what to do about that.
 *
 * @param {string} name Of an icon.
 * @param {string} title
 * @param {string} text
 * @param {...Child} actions
 */
export function emptyState(name, title, text, ...actions) {
  return el(
    "div",
    { class: "empty" },
    icon(name),
    el("h2", {}, title),
    el("p", {}, text),
    actions.length > 0 && el("div", { class: "buttons" }, actions),
  );
}

/** @param {string[]} notes */
export function noteList(notes) {
  return notes.length > 0 && el("ul", { class: "notes" }, notes.map((note) => el("li", {}, sentence(note))));
}

/**
 * Makes a number with what it is.
 *
 * @param {string} title
 * @param {Child} value
 * @param {Child} [more]
 */
export function figure(title, value, more) {
  return el("div", { class: "figure" }, el("dt", {}, title), el("dd", {}, value, more && el("span", {}, more)));
}

/**
 * Makes a bar of parts; what the parts are is said beside it.
 *
 * @param {{share: number, kind: string}[]} parts Shares between 0 and 1.
 */
export function stackedBar(parts) {
  const bar = el("div", { class: "stack", "aria-hidden": "true" });
  for (const { share, kind } of parts) {
    if (share <= 0) continue;
    const part = el("span", { class: `stack-${kind}` });
    part.style.flexGrow = String(share);
    bar.append(part);
  }
  return bar;
}

/** @param {string} text */
export function waiting(text) {
  return el("p", { class: "waiting", role: "status" }, el("span", { class: "spinner", "aria-hidden": "true" }), text);
}

/**
 * Runs what a button asks for; while it lasts the button cannot be pressed again, and what goes wrong
 * is shown in `place`. The button is not disabled: it would lose the focus, and whoever uses the keyboard their place.
 *
 * @param {HTMLButtonElement} button
 * @param {Element} place
 * @param {() => Promise<void>} act
 */
export async function acting(button, place, act) {
  if (button.hasAttribute("aria-busy")) return;
  button.setAttribute("aria-busy", "true");
  button.setAttribute("aria-disabled", "true");
  fill(place);
  try {
    await act();
  } catch (error) {
    fill(place, problemBox(asProblem(error)));
  } finally {
    button.removeAttribute("aria-busy");
    button.removeAttribute("aria-disabled");
  }
}
