// One facet: its values with their counts and sizes, searched and chosen.

import { el, fill, say } from "./dom.js";
import { count, shown, size } from "./format.js";
import { icon } from "./icons.js";
import { Listbox } from "./listbox.js";

/** @import { Counts } from "./columns.js" */
/** @import { Facet } from "./types.js" */

const SEARCHED = 9; // values; a shorter list needs no search
const SHOWN = 7.5; // rows in sight: half a row tells that there are more
const HEIGHT = 1.9; // rem

export class FacetBox {
  /**
   * @param {Facet} facet
   * @param {string[]} chosen
   * @param {(chosen: string[]) => void} changed
   */
  constructor(facet, chosen, changed) {
    this.facet = facet;
    this.chosen = new Set(chosen);
    this.changed = changed;
    /** @type {Counts | null} */
    this.counts = null;
    this.most = 1;
    this.shown = facet.values.map((_, n) => n);
    this.listbox = new Listbox({
      label: facet.title,
      several: true,
      height: HEIGHT,
      make: () =>
        el(
          "div",
          { class: "value" },
          el("span", { class: "value-bar", "aria-hidden": "true" }),
          el("span", { class: "box", "aria-hidden": "true" }, icon("check")),
          el("span", { class: "value-name" }),
          el("span", { class: "sr" }, ", "),
          el("span", { class: "value-files" }),
          el("span", { class: "sr" }),
          el("span", { class: "value-size" }),
        ),
      show: (row, index) => this.#show(row, index),
      isChosen: (index) => this.chosen.has(this.#value(index)),
      choose: (index) => this.#toggle(this.#value(index)),
    });
    this.listbox.element.style.height = `${Math.min(SHOWN, facet.values.length) * HEIGHT}rem`;
    this.clear = el("button", { type: "button", class: "quiet", onclick: () => this.set([]) });
    this.number = el("span", { class: "facet-number" });
    this.none = el("p", { class: "hint", hidden: true }, "No value is like that.");
    this.element = el(
      "section",
      { class: "facet panel", "aria-label": facet.title },
      el("div", { class: "facet-head" }, el("h2", {}, facet.title), this.number, this.clear),
      facet.values.length > SEARCHED && this.#searchField(),
      this.listbox.element,
      this.none,
    );
  }

  /** Draws the facet anew, when it is in the page. */
  draw() {
    this.listbox.update(this.shown.length);
    const chosen = this.chosen.size;
    const all = this.facet.values.length;
    say(this.number, chosen ? `${count(chosen)} of ${count(all)}` : count(all));
    this.clear.hidden = chosen === 0;
    fill(this.clear, "Clear", el("span", { class: "sr" }, ` ${this.facet.title}`));
  }

  /** @param {Counts} counts */
  update(counts) {
    this.counts = counts;
    this.most = counts.files.reduce((most, one) => Math.max(most, one), 1);
    this.draw();
  }

  /** @param {string[]} chosen */
  set(chosen) {
    this.chosen = new Set(chosen);
    this.changed(this.facet.values.filter((value) => this.chosen.has(value)));
    this.listbox.element.focus();
  }

  #searchField() {
    return el("input", {
      type: "search",
      class: "facet-search",
      placeholder: "Search",
      "aria-label": `Search in ${this.facet.title}`,
      oninput: (/** @type {Event} */ event) => {
        const wanted = /** @type {HTMLInputElement} */ (event.target).value.trim().toLowerCase();
        const all = this.facet.values.map((_, n) => n);
        this.shown = all.filter((n) => (this.facet.values[n] ?? "").toLowerCase().includes(wanted));
        this.none.hidden = this.shown.length > 0;
        this.listbox.active = 0;
        this.draw();
      },
    });
  }

  /** @param {number} index */
  #value(index) {
    return this.facet.values[this.shown[index] ?? -1] ?? "";
  }

  /** @param {string} value */
  #toggle(value) {
    if (!this.chosen.delete(value)) this.chosen.add(value);
    this.changed(this.facet.values.filter((one) => this.chosen.has(one)));
  }

  /**
   * @param {HTMLElement} row
   * @param {number} index
   */
  #show(row, index) {
    const number = this.shown[index] ?? 0;
    const value = this.#value(index);
    const has = this.counts?.files[number] ?? 0;
    const bytes = this.counts?.bytes[number] ?? 0;
    const [bar, , name, , much, noun, large] = /** @type {HTMLElement[]} */ ([...row.children]);
    if (!bar || !name || !much || !noun || !large) return;
    bar.style.transform = `scaleX(${has / this.most})`;
    say(name, shown(value));
    row.title = shown(value);
    say(much, count(has));
    say(large, has ? size(bytes) : "");
    row.classList.toggle("nothing", has === 0);
    say(noun, has === 1 ? " file " : " files ");
  }
}
