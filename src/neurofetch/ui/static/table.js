// A table, asked for page by page as one scrolls.

import { get } from "./api.js";
import { el, say } from "./dom.js";
import { files } from "./format.js";
import { VirtualList } from "./virtual.js";

/** @import { Detail, Table } from "./types.js" */

const PAGE = 200;
const WIDEST = 28; // letters of a column

export class TableView {
  /**
   * @param {Detail} detail
   * @param {Table} first
   * @param {AbortSignal} signal
   */
  constructor(detail, first, signal) {
    this.detail = detail;
    this.signal = signal;
    this.columns = first.columns;
    /** @type {Map<number, Table["rows"]>} */
    this.pages = new Map([[0, first.rows]]);
    const widths = this.columns.map((column, n) => Math.min(WIDEST, Math.max(column.name.length, ...first.rows.map((row) => String(row[n] ?? "").length)) + 2));
    const tracks = widths.map((width) => `minmax(${Math.max(5, width)}ch, 1fr)`).join(" ");
    const head = this.columns.map((column) => el("span", { role: "columnheader", title: column.about ?? column.name, class: column.kind }, column.name));
    const holder = el("div", { role: "rowgroup" });
    const scroller = el("div", { class: "table-scroll", tabIndex: 0, role: "region", "aria-label": `Table ${detail.name}` });
    const rows = {
      height: 1.9,
      make: () => {
        const row = el("div", { class: "table-row", role: "row" }, this.columns.map((column) => el("span", { role: "cell", class: column.kind })));
        row.style.gridTemplateColumns = tracks;
        return row;
      },
      show: (/** @type {HTMLElement} */ row, /** @type {number} */ index) => this.#show(row, index),
    };
    const header = el("div", { class: "table-row table-head", role: "row", "aria-rowindex": "1" }, head);
    header.style.gridTemplateColumns = tracks;
    const table = el("div", { class: "table", role: "table", "aria-label": detail.name, "aria-rowcount": String(first.total + 1), "aria-colcount": String(this.columns.length) }, el("div", { role: "rowgroup", class: "table-top" }, header), holder);
    table.style.minWidth = `max(100%, ${widths.reduce((sum, one) => sum + Math.max(5, one), 0)}ch)`;
    scroller.append(table);
    this.list = new VirtualList(scroller, rows, holder);
    const about = this.columns.length ? `${files(first.total, "row")}, ${files(this.columns.length, "column")}` : "This file is empty.";
    this.element = el("div", {}, el("p", { class: "hint" }, about), this.columns.length > 0 && scroller);
    this.list.resize(first.total);
  }

  /**
   * @param {Detail} detail
   * @param {AbortSignal} signal
   */
  static async load(detail, signal) {
    return new TableView(detail, await page(detail, 0, signal), signal);
  }

  /**
   * @param {HTMLElement} row
   * @param {number} index
   */
  #show(row, index) {
    const number = Math.floor(index / PAGE);
    const rows = this.pages.get(number);
    if (!rows) void this.#ask(number);
    const values = rows?.[index % PAGE];
    row.setAttribute("aria-rowindex", String(index + 2));
    [...row.children].forEach((cell, n) => {
      const text = values ? String(values[n] ?? "") : "…";
      say(cell, text);
      cell.setAttribute("title", text);
    });
  }

  /** @param {number} number */
  async #ask(number) {
    this.pages.set(number, []);
    try {
      this.pages.set(number, (await page(this.detail, number * PAGE, this.signal)).rows);
      this.list.soon();
    } catch {
      this.pages.delete(number); // it is asked for again when it comes into sight
    }
  }
}

/**
 * @param {Detail} detail
 * @param {number} from
 * @param {AbortSignal} signal
 * @returns {Promise<Table>}
 */
function page(detail, from, signal) {
  return get(`api/items/${detail.item}/table?from=${from}&count=${PAGE}`, signal);
}
