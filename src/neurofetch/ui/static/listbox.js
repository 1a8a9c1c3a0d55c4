// A list in which one or several items are chosen, by mouse or by keyboard, as ARIA's listbox has it.

import { el, freshId } from "./dom.js";
import { VirtualList } from "./virtual.js";

/**
 * @typedef {object} Options
 * @property {string} label What the list is called.
 * @property {boolean} several Whether several items can be chosen.
 * @property {number} height Of a row, in rem.
 * @property {() => HTMLElement} make Makes an empty row; it becomes an option.
 * @property {(row: HTMLElement, index: number) => void} show Puts an item into a row.
 * @property {(index: number) => boolean} isChosen
 * @property {(index: number) => void} choose Called with Enter, Space or a click.
 */

export class Listbox {
  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    this.active = 0;
    this.id = freshId();
    this.element = el("div", {
      class: "listbox",
      role: "listbox",
      id: this.id,
      tabIndex: 0,
      "aria-label": options.label,
      "aria-multiselectable": options.several ? "true" : null,
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
      onfocus: () => this.#mark(),
      onclick: (/** @type {MouseEvent} */ event) => this.#click(event),
    });
    this.list = new VirtualList(this.element, {
      height: options.height,
      make: () => {
        const row = options.make();
        row.setAttribute("role", "option");
        row.id = freshId();
        return row;
      },
      show: (row, index) => this.#show(row, index),
    });
  }

  /**
   * Draws the list anew.
   *
   * @param {number} length Number of items.
   */
  update(length) {
    this.active = Math.max(0, Math.min(this.active, length - 1));
    this.list.resize(length);
    this.#mark();
  }

  /**
   * @param {HTMLElement} row
   * @param {number} index
   */
  #show(row, index) {
    row.dataset.index = String(index);
    row.setAttribute("aria-selected", String(this.options.isChosen(index)));
    row.setAttribute("aria-setsize", String(this.list.length));
    row.setAttribute("aria-posinset", String(index + 1));
    row.classList.toggle("active", index === this.active);
    this.options.show(row, index);
  }

  #mark() {
    const row = this.list.rowOf(this.active);
    if (row) this.element.setAttribute("aria-activedescendant", row.id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  /** @param {number} index */
  move(index) {
    this.active = Math.max(0, Math.min(index, this.list.length - 1));
    this.list.reveal(this.active);
    this.#mark();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.list.height) - 1);
    /** @type {Record<string, number>} */
    const moves = {
      ArrowDown: this.active + 1,
      ArrowUp: this.active - 1,
      PageDown: this.active + page,
      PageUp: this.active - page,
      Home: 0,
      End: this.list.length - 1,
    };
    const to = moves[event.key];
    if (to !== undefined) this.move(to);
    else if ((event.key === " " || event.key === "Enter") && this.list.length) {
      this.options.choose(this.active);
    } else return;
    event.preventDefault();
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const row = event.target instanceof Element ? event.target.closest("[role=option]") : null;
    if (!(row instanceof HTMLElement)) return;
    this.active = Number(row.dataset.index);
    this.#mark();
    this.options.choose(this.active);
  }
}
