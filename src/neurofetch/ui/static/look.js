// The last view: what is in a directory, and one file of it on the screen.

import { withKey } from "./key.js";
import { asProblem, get } from "./api.js";
import { el, fill, freshId, say } from "./dom.js";
import { count, size } from "./format.js";
import { icon } from "./icons.js";
import { inLines } from "./jsontext.js";
import { Listbox } from "./listbox.js";
import { emptyState, problemBox, waiting } from "./parts.js";
import { go, remember } from "./router.js";
import { SayBox } from "./say.js";
import { store } from "./store.js";
import { TableView } from "./table.js";

/** @import { Detail, Item } from "./types.js" */

const NARROW = "(max-width: 56rem)"; // as in views.css
const KINDS = { volume: "Volumes", table: "Tables", surface: "Surfaces", picture: "Pictures", text: "Texts" };

/**
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 * @param {string | undefined} name Of the directory.
 * @param {URLSearchParams} query
 */
export function showLook(root, signal, name, query) {
  const directory = store.directory(name ?? "") ?? store.directories[0];
  if (!directory) {
    fill(root, el("h1", { tabIndex: -1 }, "Look"), emptyState("directory", "No directory is open", "Start neurofetch ui with the directories that you want to see."));
    return;
  }
  new Look(root, signal, directory.directory, query);
}

class Look {
  /**
   * @param {HTMLElement} root
   * @param {AbortSignal} signal
   * @param {string} directory
   * @param {URLSearchParams} query
   */
  constructor(root, signal, directory, query) {
    this.signal = signal;
    this.directory = directory;
    this.folder = query.get("folder") ?? "";
    this.path = query.get("path") ?? "";
    /** @type {Item[]} */
    this.items = [];
    /** @type {Item[]} */
    this.shown = [];
    /** @type {AbortController | null} */
    this.opened = null;
    this.stage = el("div", { class: "stage" });
    this.number = el("span", { class: "facet-number" });
    this.more = el("p", { class: "hint", hidden: true }, "There are more files than are shown. Choose a folder.");
    this.search = el("input", { type: "search", placeholder: "Search", "aria-label": "Search in the files", oninput: () => this.#filter() });
    this.kind = el("select", { "aria-label": "Kind of file", onchange: () => this.#filter() });
    this.listbox = new Listbox({
      label: "Files that are here",
      several: false,
      height: 2.9,
      make: () => el("div", { class: "item" }, el("span", { class: "item-icon" }), el("span", { class: "item-title" }), el("span", { class: "item-path" }, el("bdi", { dir: "ltr" }))),
      show: (row, index) => this.#show(row, index),
      isChosen: (index) => this.shown[index]?.path === this.path,
      choose: (index) => {
        const item = this.shown[index];
        if (item) void this.#open(item);
        if (matchMedia(NARROW).matches) this.stage.scrollIntoView(); // the list stands above it, and fills the screen
      },
    });
    fill(
      root,
      el("h1", { tabIndex: -1 }, "Look"),
      el(
        "div",
        { class: "look" },
        el("section", { class: "shelf panel", "aria-label": "Files that are here" }, this.#places(), el("div", { class: "shelf-tools" }, this.search, this.kind), el("div", { class: "facet-head" }, el("h2", {}, "Files"), this.number), this.listbox.element, this.more),
        this.stage,
      ),
    );
    fill(this.stage, waiting("Looking what is here"));
    void this.#load();
  }

  #places() {
    const ids = [freshId(), freshId()];
    const folders = store.directory(this.directory)?.folders ?? [];
    const directory = el(
      "select",
      { id: ids[0], onchange: () => go(["look", directory.value]) },
      store.directories.map((one) => el("option", { value: one.directory, selected: one.directory === this.directory }, one.name)),
    );
    const names = this.folder && !folders.includes(this.folder) ? [...folders, this.folder] : folders;
    const folder = el(
      "select",
      { id: ids[1], onchange: () => go(["look", this.directory], new URLSearchParams(folder.value ? { folder: folder.value } : {})) },
      el("option", { value: "" }, "All of it"),
      names.map((one) => el("option", { value: one, selected: one === this.folder }, one)),
    );
    return el(
      "div",
      { class: "shelf-places" },
      el("div", { class: "field" }, el("label", { htmlFor: ids[0] }, "Directory"), directory),
      names.length > 0 && el("div", { class: "field" }, el("label", { htmlFor: ids[1] }, "Data set"), folder),
    );
  }

  async #load() {
    const query = new URLSearchParams({ directory: this.directory, folder: this.folder });
    try {
      /** @type {{items: Item[], more: boolean}} */
      const shelf = await get(`api/shelf?${query}`, this.signal);
      this.items = shelf.items;
      this.more.hidden = !shelf.more;
    } catch (error) {
      if (!this.signal.aborted) fill(this.stage, problemBox(asProblem(error)));
      return;
    }
    const kinds = [...new Set(this.items.map((one) => one.kind))];
    fill(this.kind, el("option", { value: "" }, "All kinds"), kinds.map((one) => el("option", { value: one }, KINDS[one])));
    this.#filter();
    const asked = this.items.find((one) => one.path === this.path);
    if (asked) {
      this.listbox.move(this.shown.indexOf(asked));
      await this.#open(asked);
    } else this.#empty();
  }

  #empty() {
    if (this.items.length === 0) {
      const choose = el("a", { class: "button primary", href: "#/" }, "Choose a source");
      fill(this.stage, emptyState("directory", "Nothing is here yet", "What you fetch into this directory can be looked at here.", choose));
    } else {
      fill(this.stage, emptyState("eye", "Choose a file", "Maps, anatomy and time series are drawn; tables, pictures and texts are shown."));
    }
  }

  #filter() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { value } = this.kind;
    this.shown = this.items.filter((one) => {
      const path = one.path.toLowerCase();
      return (!value || one.kind === value) && words.every((word) => path.includes(word));
    });
    say(this.number, count(this.shown.length));
    this.listbox.element.style.setProperty("--rows", String(this.shown.length));
    this.listbox.update(this.shown.length);
  }

  /**
   * @param {HTMLElement} row
   * @param {number} index
   */
  #show(row, index) {
    const item = this.shown[index];
    const [mark, title, path] = row.children;
    if (!item || !mark || !title || !path) return;
    if (row.dataset.kind !== item.kind) fill(mark, icon(item.kind));
    row.dataset.kind = item.kind;
    say(title, item.title || item.name);
    say(path.firstElementChild ?? path, item.path);
    row.title = item.path;
  }

  /** @param {Item} item */
  async #open(item) {
    this.opened?.abort();
    const opened = new AbortController();
    this.opened = opened;
    this.signal.addEventListener("abort", () => opened.abort(), { once: true });
    this.path = item.path;
    const query = new URLSearchParams(this.folder ? { folder: this.folder } : {});
    query.set("path", item.path);
    remember(query);
    this.listbox.update(this.shown.length);
    const place = el("div", { class: "stage-body" });
    const path = el("p", { class: "path" }, item.path, el("span", {}, size(item.bytes)));
    fill(this.stage, el("div", { class: "stage-head" }, el("h2", {}, item.title || item.name), path), place);
    fill(place, waiting("Reading"));
    try {
      /** @type {Detail} */
      const detail = await get(`api/items/${item.item}`, opened.signal);
      if (opened.signal.aborted) return;
      if (detail.data_set) path.append(el("span", { class: "of-data-set" }, detail.data_set));
      const box = new SayBox();
      box.update(detail.say);
      await this.#draw(place, detail, opened.signal);
      if (!opened.signal.aborted) this.stage.append(box.element);
    } catch (error) {
      if (opened.signal.aborted) return;
      const again = el("button", { type: "button", class: "button", onclick: () => void this.#lookAgain() }, "Load the list again");
      fill(place, problemBox(asProblem(error), again));
    }
  }

  /** Asks anew what is here: a file may be gone, or repaired. */
  async #lookAgain() {
    this.listbox.element.focus();
    await this.#load();
  }

  /**
   * @param {HTMLElement} place
   * @param {Detail} detail
   * @param {AbortSignal} signal
   */
  async #draw(place, detail, signal) {
    const address = `api/items/${detail.item}`;
    if (detail.kind === "table") fill(place, (await TableView.load(detail, signal)).element);
    else if (detail.kind === "picture") {
      const broken = () => fill(place, problemBox({ code: "picture", message: "This picture cannot be shown. Nothing was changed.", advice: "Verify the file: see neurofetch verify." }));
      fill(place, el("img", { class: "picture", src: withKey(`${address}/picture?v=${detail.version}`), alt: detail.path, onerror: broken }));
    } else if (detail.kind === "text") {
      /** @type {{text: string, cut: boolean}} */
      const found = await get(`${address}/text`, signal);
      fill(place, el("pre", { class: "text", tabIndex: 0, "aria-label": detail.name }, textOf(detail.name, found.text)), found.cut && el("p", { class: "hint" }, "Only its beginning is shown."));
    } else if (!store.viewer.ready) {
      fill(place, problemBox({ code: "viewer", message: "Volumes cannot be drawn here.", advice: store.viewer.why }));
    } else {
      const { Viewer } = await import("./viewer.js");
      if (signal.aborted) return;
      const near = this.items.filter((one) => one.kind === "volume" && one.item !== detail.item);
      await new Viewer(place, detail, near, signal).start();
    }
  }
}

/**
 * @param {string} name
 * @param {string} text
 */
function textOf(name, text) {
  if (text === "") return "This file is empty.";
  return name.toLowerCase().endsWith(".json") ? inLines(text) : text;
}
