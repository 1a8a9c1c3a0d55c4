// A long table of files, of which only the rows in sight are in the page.

import { el, say } from "./dom.js";
import { count } from "./format.js";
import { VirtualList } from "./virtual.js";

/**
 * @typedef {object} Shown What a row says.
 * @property {string} path
 * @property {string} size
 * @property {string} state
 * @property {string} kind For the style: "here", "withheld", "failed" or "".
 */

const HEIGHT = 1.9; // rem

export class FileList {
  /**
   * @param {string} label
   * @param {(index: number) => Shown | null} read Returns a row, or null where it is not known yet.
   */
  constructor(label, read) {
    const scroller = el("div", { class: "filelist-rows", role: "rowgroup", tabIndex: 0, "aria-label": label });
    const cells = ["path", "size", "state"];
    this.list = new VirtualList(scroller, {
      height: HEIGHT,
      make: () => el("div", { class: "file", role: "row" }, cells.map((name) => el("span", { class: `file-${name}`, role: "cell" }, name === "path" && el("bdi", { dir: "ltr" })))),
      show: (row, index) => {
        const file = read(index);
        const [path, large, state] = row.children;
        if (!path || !large || !state) return;
        row.setAttribute("aria-rowindex", String(index + 2));
        row.className = `file ${file?.kind ?? ""}`;
        row.title = file?.path ?? "";
        say(path.firstElementChild ?? path, file ? file.path : "…");
        say(large, file?.size ?? "");
        say(state, file?.state ?? "");
      },
    });
    const head = ["File", "Size", "State"].map((title, n) => el("span", { class: `file-${cells[n]}`, role: "columnheader" }, title));
    this.element = el(
      "div",
      { class: "filelist", role: "table", "aria-label": label },
      el("div", { role: "rowgroup" }, el("div", { class: "file file-head", role: "row", "aria-rowindex": "1" }, head)),
      scroller,
    );
  }

  /** @param {number} length */
  update(length) {
    this.element.setAttribute("aria-rowcount", String(length + 1));
    this.element.dataset.files = count(length);
    this.list.scroller.style.height = `min(24rem, 60vh, ${Math.max(1, length) * HEIGHT}rem)`;
    this.list.resize(length);
  }
}
