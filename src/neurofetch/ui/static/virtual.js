// A long list of which only the rows in sight are in the page.

import { el } from "./dom.js";

/**
 * @template {HTMLElement} R
 * @typedef {object} Rows
 * @property {number} height Of a row, in rem.
 * @property {() => R} make Makes an empty row.
 * @property {(row: R, index: number) => void} show Puts the item of this number into a row.
 */

const MORE = 6; // rows above and below those in sight
const TALLEST = 15e6; // pixels: browsers make no element much taller

/** @template {HTMLElement} R */
export class VirtualList {
  /**
   * @param {HTMLElement} scroller What scrolls; its height is set by the style.
   * @param {Rows<R>} rows
   * @param {HTMLElement} [holder] What the rows are put into, where something else scrolls with them.
   */
  constructor(scroller, rows, holder = scroller) {
    this.scroller = scroller;
    this.rows = rows;
    this.length = 0;
    /** @type {R[]} */
    this.pool = [];
    this.first = 0;
    this.body = el("div", { class: "virtual", role: "presentation" });
    holder.append(this.body);
    this.waits = false;
    // Asking for these while many lists are drawn would make the browser lay the page out for each.
    this.top = 0;
    this.tall = 320;
    this.height = this.rows.height * 16; // of a row in pixels; it grows with the text
    scroller.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.soon()).observe(scroller);
  }

  #measure() {
    this.top = this.scroller.scrollTop;
    this.tall = this.scroller.clientHeight || 320;
    this.height = this.rows.height * parseFloat(getComputedStyle(document.documentElement).fontSize);
  }

  soon() {
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      this.#measure();
      this.draw();
    });
  }

  /** @param {number} length */
  resize(length) {
    this.length = length;
    this.draw();
  }

  /** How many pixels of the list one pixel of the scroll bar is: more than one for very long lists. */
  get #ratio() {
    const all = this.length * this.height;
    return all > TALLEST ? (all - this.tall) / (TALLEST - this.tall) : 1;
  }

  /** Draws the rows that are in sight. */
  draw() {
    const { height } = this;
    const begin = this.top * this.#ratio;
    const sight = Math.ceil(this.tall / height) + 2 * MORE;
    const most = Math.max(0, this.length - sight);
    this.first = Math.min(most, Math.max(0, Math.floor(begin / height) - MORE));
    const number = Math.min(sight, this.length);
    this.body.style.height = `${Math.min(this.length * height, TALLEST)}px`;
    while (this.pool.length < number) {
      const row = this.rows.make();
      this.pool.push(row);
      this.body.append(row);
    }
    while (this.pool.length > number) this.pool.pop()?.remove();
    this.pool.forEach((row, n) => {
      row.style.transform = `translateY(${this.top - begin + (this.first + n) * height}px)`;
      this.rows.show(row, this.first + n);
    });
  }

  /**
   * Scrolls so that an item is in sight.
   *
   * @param {number} index
   */
  reveal(index) {
    this.#measure();
    const { height, scroller, tall } = this;
    const ratio = this.#ratio;
    const begin = this.top * ratio;
    const top = index * height;
    if (top < begin) scroller.scrollTop = top / ratio;
    else if (top + height > begin + tall) scroller.scrollTop = (top + height - tall) / ratio;
    this.#measure();
    this.draw();
  }

  /**
   * Returns the row of an item, if it is in sight.
   *
   * @param {number} index
   * @returns {R | undefined}
   */
  rowOf(index) {
    return this.pool[index - this.first];
  }
}
