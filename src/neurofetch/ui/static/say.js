// The command and the Python call that do the same, to copy.

import { announce, el, fill, freshId } from "./dom.js";
import { icon } from "./icons.js";

/** @import { Say } from "./types.js" */

const TABS = /** @type {const} */ ([
  ["command", "Command"],
  ["python", "Python"],
]);

export class SayBox {
  constructor() {
    this.shown = /** @type {"command" | "python"} */ ("command");
    /** @type {Say | null} */
    this.words = null;
    const panel = freshId();
    this.code = el("pre", { tabIndex: 0, "aria-label": "What does the same" });
    this.tabs = TABS.map(([name, title]) =>
      el(
        "button",
        {
          type: "button",
          role: "tab",
          id: freshId(),
          "aria-controls": panel,
          onclick: () => this.#choose(name),
          onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
        },
        title,
      ),
    );
    this.copy = el("button", { type: "button", class: "quiet", onclick: () => void this.#copy() });
    this.panel = el("div", { role: "tabpanel", id: panel }, this.code);
    this.element = el(
      "section",
      { class: "say", "aria-label": "The same in a terminal or in Python" },
      el(
        "div",
        { class: "say-head" },
        el("div", { role: "tablist", "aria-label": "Language" }, this.tabs),
        this.copy,
      ),
      this.panel,
    );
    this.#choose("command");
  }

  /** @param {Say | null | undefined} words */
  update(words) {
    this.words = words ?? null;
    this.element.hidden = !words;
    const text = words ? words[this.shown].trim() : "";
    if (this.code.textContent !== text) fill(this.code, this.shown === "command" ? unbroken(text) : text);
  }

  /** @param {"command" | "python"} name */
  #choose(name) {
    this.shown = name;
    this.tabs.forEach((tab, n) => {
      const selected = TABS[n]?.[0] === name;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      if (selected) this.panel.setAttribute("aria-labelledby", tab.id);
    });
    this.code.classList.toggle("is-python", name === "python");
    fill(this.copy, icon("copy"), "Copy");
    this.update(this.words);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = this.shown === "command" ? 1 : 0;
    this.#choose(other === 1 ? "python" : "command");
    this.tabs[other]?.focus();
    event.preventDefault();
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.code.textContent ?? "");
      fill(this.copy, icon("check"), "Copied");
      announce("Copied");
      setTimeout(() => fill(this.copy, icon("copy"), "Copy"), 2000);
    } catch {
      const range = document.createRange(); // without leave to copy, it is marked for Ctrl-C
      range.selectNodeContents(this.code);
      getSelection()?.removeAllRanges();
      getSelection()?.addRange(range);
      fill(this.copy, "Marked: press Ctrl-C");
      announce("The text is marked: press Ctrl-C to copy it");
    }
  }
}

/**
 * Returns a command in parts: a line never ends within an option. What is copied stays the same.
 *
 * @param {string} command
 */
function unbroken(command) {
  return command.split(/(--?[a-z][a-z-]{0,30}(?=\s|$))/).map((part, n) => (n % 2 ? el("span", { class: "option" }, part) : part));
}
