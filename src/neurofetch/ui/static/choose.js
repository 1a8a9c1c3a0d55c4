// The second view: which files, with counts and sizes that change with each click.

import { asProblem, get, post } from "./api.js";
import { Columns, TO_FETCH } from "./columns.js";
import { announce, el, entitle, fill, freshId, say } from "./dom.js";
import { FacetBox } from "./facet.js";
import { FileList } from "./filelist.js";
import { count, files, size } from "./format.js";
import { globTest } from "./globs.js";
import { acting, emptyState, noteList, problemBox, stackedBar, waiting } from "./parts.js";
import { go, hashOf, remember } from "./router.js";
import { SayBox } from "./say.js";
import { store } from "./store.js";

/** @import { Found } from "./columns.js" */
/** @import { Catalogue, Choice, Facet, Job, Rows, Say } from "./types.js" */

const PAGE = 50_000; // rows in one answer
const STATES = ["to fetch", "here", "withheld"];
const KINDS = ["", "here", "withheld"];

/**
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 * @param {string} name Of the catalogue.
 * @param {URLSearchParams} query The choice, as it is in the address.
 */
export async function showChoose(root, signal, name, query) {
  const title = el("h1", { tabIndex: -1 }, store.catalogues.get(name)?.title ?? "Choose files");
  const place = el("div", { class: "view" });
  fill(root, title, place);
  /** @type {Catalogue} */
  let catalogue;
  try {
    catalogue = await get(`api/catalogues/${encodeURIComponent(name)}`, signal);
  } catch (error) {
    if (signal.aborted) return;
    const back = el("a", { class: "button", href: "#/" }, "Choose a source");
    fill(place, problemBox(asProblem(error), back));
    return;
  }
  store.keepCatalogue(catalogue);
  entitle(title, catalogue.title);
  let drawn = "";
  /** @param {Catalogue} now */
  const draw = (now) => {
    if (now.catalogue !== name || signal.aborted) return;
    if (now.state === "listing") drawListing(place, now);
    else if (drawn !== now.state) void drawState(place, now, query, signal);
    drawn = now.state;
  };
  store.onCatalogue(draw, signal);
  draw(catalogue);
}

/**
 * @param {HTMLElement} place
 * @param {Catalogue} catalogue
 */
function drawListing(place, catalogue) {
  let number = place.querySelector(".listing-number");
  if (!number) {
    number = el("p", { class: "listing-number" });
    const failed = el("div");
    const stop = el("button", { type: "button", class: "button" }, "Stop");
    stop.addEventListener("click", () => {
      void acting(stop, failed, async () => {
        store.keepCatalogue(await post(`api/catalogues/${catalogue.catalogue}/stop`));
      });
    });
    fill(
      place,
      el("div", { class: "listing panel" }, waiting("Asking what there is"), number, el("div", { class: "buttons" }, stop), failed),
    );
  }
  say(number, catalogue.listed ? `${files(catalogue.listed)} so far` : "This takes some seconds for a large data set.");
}

/**
 * @param {HTMLElement} place
 * @param {Catalogue} catalogue
 * @param {URLSearchParams} query
 * @param {AbortSignal} signal
 */
async function drawState(place, catalogue, query, signal) {
  const other = el("a", { class: "button", href: "#/" }, "Choose a source");
  const wrong = el("div");
  const again = [...askAgain(catalogue, wrong).slice(0, isFirstSearch(catalogue) ? 1 : 2), other];
  if (isFirstSearch(catalogue)) {
    const text = "To search by words, neurofetch keeps a list of NeuroVault's images on this machine. Get it once; after that, a search asks nobody.";
    fill(place, emptyState("neurovault", "The catalogue of NeuroVault is not here yet", text, ...again), wrong);
    return;
  }
  if (catalogue.state === "failed" && catalogue.error) {
    fill(place, problemBox(catalogue.error, ...again), wrong);
    return;
  }
  if (catalogue.state === "stopped") {
    fill(place, emptyState("stop", "The list was stopped", "Nothing was fetched. Ask again when you like.", ...again), wrong);
    return;
  }
  fill(place, waiting("Reading the list"));
  try {
    /** @type {Catalogue} */
    const whole = await get(`api/catalogues/${catalogue.catalogue}`, signal);
    const columns = await readColumns(whole, signal);
    store.keepCatalogue(whole);
    if (columns.total === 0) {
      const { kind } = catalogue.source;
      const empty = kind === "directory" ? "Nothing is here yet. Choose a source to fetch from." : kind === "neurovault" ? "NeuroVault has no images like that, or the catalogue does not know them yet." : "Nothing is there. See whether the address is right.";
      fill(place, emptyState("directory", "There are no files", empty, ...again), noteList(catalogue.notes), wrong);
      return;
    }
    new Chooser(place, whole, columns, query, signal);
  } catch (error) {
    if (!signal.aborted) fill(place, problemBox(asProblem(error), other));
  }
}

/**
 * Says whether words were searched for before there is a catalogue to search in: nothing has failed then.
 *
 * @param {Catalogue} catalogue
 */
function isFirstSearch({ state, source, error }) {
  return state === "failed" && Boolean(source.search) && error?.code === "nothing_matched" && error.message.includes("no catalogue");
}

/**
 * Makes the buttons that ask the same source once more: what was typed is not typed again.
 *
 * @param {Catalogue} catalogue
 * @param {Element} wrong Where it is shown that this does not work.
 */
function askAgain({ source, to }, wrong) {
  /** @type {[string, Record<string, unknown>][]} */
  const ways = [["Ask again", source]];
  if (source.search) ways.unshift(["Ask NeuroVault for its newest catalogue", { ...source, update: true }]);
  if (source.kind === "directory") ways.length = 0;
  return ways.map(([text, asked], n) => {
    const button = el("button", { type: "button", class: n ? "button" : "button primary" }, text);
    button.addEventListener("click", () => {
      void acting(button, wrong, async () => {
        /** @type {Catalogue} */
        const made = await post("api/catalogues", { source: asked, to });
        store.keepCatalogue(made);
        go(["choose", made.catalogue]);
      });
    });
    return button;
  });
}

/**
 * @param {Catalogue} catalogue
 * @param {AbortSignal} signal
 */
async function readColumns(catalogue, signal) {
  const columns = new Columns(catalogue.facets ?? [], catalogue.files);
  while (columns.filled < columns.total) {
    /** @type {Rows} */
    const page = await get(`api/catalogues/${catalogue.catalogue}/rows?from=${columns.filled}&count=${PAGE}`, signal);
    if (page.paths.length === 0) break;
    columns.add(page);
  }
  return columns;
}

class Chooser {
  /**
   * @param {HTMLElement} place
   * @param {Catalogue} catalogue
   * @param {Columns} columns
   * @param {URLSearchParams} query
   * @param {AbortSignal} signal
   */
  constructor(place, catalogue, columns, query, signal) {
    this.catalogue = catalogue;
    this.columns = columns;
    this.signal = signal;
    this.isHere = catalogue.source.kind === "directory";
    /** @type {Choice} */
    this.choice = choiceOf(catalogue.facets ?? [], query);
    /** @type {Found | null} */
    this.found = null;
    this.asked = 0;
    this.boxes = new Map(
      columns.facets.map((facet) => [
        facet.name,
        new FacetBox(facet, this.choice[facet.name] ?? [], (chosen) => this.#change(facet.name, chosen)),
      ]),
    );
    this.list = new FileList("Chosen files", (index) => this.#file(index));
    this.say = new SayBox();
    this.summary = el("div", { class: "sum" });
    this.failed = el("div");
    this.plan = el("button", { type: "button", class: "button primary wide", onclick: () => void this.#plan() }, "Make the plan");
    this.shownFiles = el("span", { class: "facet-number" });
    fill(place, this.#layout());
    this.#filter();
    this.#count();
  }

  #layout() {
    const facets = el("div", { class: "facets" }, [...this.boxes.values()].map((box) => box.element));
    const { to } = this.catalogue;
    const where = this.catalogue.place ?? [store.directory(to.directory)?.name, to.folder].filter(Boolean).join("/");
    const act = this.isHere
      ? el("a", { class: "button primary wide", href: hashOf(["look", to.directory], new URLSearchParams({ folder: to.folder })) }, "Look at these files")
      : this.plan;
    return el(
      "div",
      { class: "choose" },
      el(
        "div",
        { class: "choose-main" },
        el("p", { class: "hint choose-hint" }, "Tick what you want. Where nothing is ticked, all of it is meant."),
        facets,
        this.catalogue.source.kind !== "neurovault" && this.#globs(),
        el("section", { class: "panel files-panel" }, el("div", { class: "facet-head" }, el("h2", {}, "Files"), this.shownFiles), this.list.element),
      ),
      el(
        "aside",
        { class: "choose-side panel", "aria-label": "Your choice" },
        this.summary,
        act,
        el("p", { class: "hint where" }, this.isHere ? "In " : "Into ", el("b", {}, where)),
        this.failed,
        noteList(this.catalogue.notes),
        this.say.element,
      ),
    );
  }

  #globs() {
    const inputs = /** @type {const} */ ([
      ["include", "Only paths like", "sub-01/**/*.json"],
      ["exclude", "But not paths like", "*_events.tsv"],
    ]).map(([name, label, placeholder]) => {
      const id = freshId();
      const input = el("input", {
        id,
        type: "text",
        placeholder,
        autocomplete: "off",
        spellcheck: "false",
        value: (this.choice[name] ?? []).join(" "),
        oninput: () => this.#glob(name, input.value),
      });
      return el("div", { class: "field" }, el("label", { htmlFor: id }, label), input);
    });
    this.globProblem = el("p", { class: "hint", role: "status" });
    return el("section", { class: "panel globs", "aria-label": "Paths" }, inputs, this.globProblem);
  }

  /**
   * @param {"include" | "exclude"} name
   * @param {string} text
   */
  #glob(name, text) {
    this.choice[name] = text.split(/\s+/).filter(Boolean);
    this.#filter();
    this.#count();
  }

  #filter() {
    try {
      this.columns.pass(globTest(this.choice.include ?? []), globTest(this.choice.exclude ?? []));
      if (this.globProblem) say(this.globProblem, "");
    } catch {
      if (this.globProblem) say(this.globProblem, "This is no pattern yet. All paths are shown.");
      this.columns.pass(null, null);
    }
  }

  /**
   * @param {string} name
   * @param {string[]} chosen
   */
  #change(name, chosen) {
    this.choice[name] = chosen;
    this.#count();
  }

  #count() {
    const begin = performance.now();
    const found = this.columns.count(this.choice);
    this.found = found;
    for (const [name, counts] of found.facets) this.boxes.get(name)?.update(counts);
    this.list.update(found.rows.length);
    this.#sum(found);
    const query = queryOf(this.choice);
    remember(query);
    performance.measure("neurofetch-choice", { start: begin, end: performance.now() });
    void this.#ask();
  }

  /** @param {Found} found */
  #sum({ all, states }) {
    const [fetched, here, withheld] = states;
    if (!fetched || !here || !withheld) return;
    const of = Math.max(all.bytes, 1);
    say(this.shownFiles, count(all.files));
    this.plan.disabled = all.files === 0;
    /** @type {[string, string, { files: number, bytes: number }][]} */
    const legend = [
      ["fetch", "to fetch", fetched],
      ["here", "here already", here],
      ["withheld", "withheld by its owners", withheld],
    ];
    fill(
      this.summary,
      el("p", { class: "sum-size" }, size(all.bytes)),
      el("p", { class: "sum-files", role: "status" }, all.files ? files(all.files) : "No file is like that"),
      stackedBar(legend.map(([kind, , one]) => ({ kind, share: one.bytes / of }))),
      el(
        "ul",
        { class: "legend" },
        legend.filter(([, , one]) => one.files > 0).map(([kind, title, one]) =>
          el("li", { class: `legend-${kind}` }, el("span", {}, `${files(one.files)} ${title}`), el("span", {}, size(one.bytes))),
        ),
      ),
    );
  }

  /** Asks for the words of the choice; only the newest answer counts. */
  async #ask() {
    this.asked += 1;
    const asked = this.asked;
    await new Promise((resolve) => setTimeout(resolve, 120));
    if (asked !== this.asked || this.signal.aborted) return;
    try {
      /** @type {Say} */
      const words = await post(`api/catalogues/${this.catalogue.catalogue}/say`, { choice: bare(this.choice) }, this.signal);
      if (asked !== this.asked) return;
      this.say.update(words);
      fill(this.failed);
    } catch (error) {
      if (this.signal.aborted || asked !== this.asked) return;
      this.say.update(null);
      fill(this.failed, problemBox(asProblem(error)));
    }
  }

  async #plan() {
    await acting(this.plan, this.failed, async () => {
      const { catalogue, to } = this.catalogue;
      /** @type {Job} */
      const job = await post("api/plans", { catalogue, choice: bare(this.choice), to });
      store.keepJob(job);
      announce("The plan is being made");
      go(["runs", job.job]);
    });
  }

  /** @param {number} index */
  #file(index) {
    const row = this.found?.rows[index];
    if (row === undefined) return null;
    const state = this.columns.state[row] ?? TO_FETCH;
    const path = this.columns.paths[row] ?? "";
    return { path, size: size(this.columns.bytes[row]), state: STATES[state] ?? "", kind: KINDS[state] ?? "" };
  }
}

/**
 * Returns the choice that an address has.
 *
 * @param {Facet[]} facets
 * @param {URLSearchParams} query
 * @returns {Choice}
 */
function choiceOf(facets, query) {
  /** @type {Choice} */
  const choice = { include: query.getAll("include"), exclude: query.getAll("exclude") };
  for (const { name, values } of facets) {
    const known = new Set(values);
    choice[name] = query.getAll(name).filter((value) => known.has(value));
  }
  return choice;
}

/** @param {Choice} choice */
function queryOf(choice) {
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries(choice)) for (const value of values) query.append(name, value);
  return query;
}

/**
 * Returns a choice without what is not chosen by.
 *
 * @param {Choice} choice
 */
function bare(choice) {
  return Object.fromEntries(Object.entries(choice).filter(([, values]) => values.length > 0));
}

