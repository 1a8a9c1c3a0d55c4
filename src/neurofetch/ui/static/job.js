// A plan or a run: what would come and why, how far it is, what failed and what to do about it.

import { asProblem, get, post } from "./api.js";
import { announce, ask, el, entitle, fill, say } from "./dom.js";
import { FileList } from "./filelist.js";
import { count, duration, files, size } from "./format.js";
import { icon } from "./icons.js";
import { acting, figure, noteList, problemBox, stackedBar, waiting } from "./parts.js";
import { go, hashOf } from "./router.js";
import { SayBox } from "./say.js";
import { store } from "./store.js";

/** @import { Shown } from "./filelist.js" */
/** @import { Figures, Group, Job } from "./types.js" */

const PAGE = 200;
const WITHHELD = "withheld: ";
const LICENCES = new Set(["license_not_accepted"]);
const WORDS = {
  running: "running",
  pausing: "pausing",
  paused: "paused",
  done: "done",
  failed: "failed",
  stopped: "stopped",
};
/** @type {Record<string, string>} */
const ACTIONS = {
  fetch: "to fetch",
  resume: "partly here",
  replace: "replaced",
  keep: "here",
  kept: "was here",
  refuse: "withheld",
  refused: "withheld",
  leave: "cannot be kept",
};

/**
 * Says whether a job waits for its user to accept a licence: nothing has failed then.
 *
 * @param {Job} job
 */
function asksLicence(job) {
  return job.state === "failed" && job.error !== null && LICENCES.has(job.error.code);
}

/** @param {Job} job */
function wordOf(job) {
  if (asksLicence(job)) return "waits for you";
  return job.kind === "plan" && job.state === "done" ? "ready" : WORDS[job.state];
}

/** @param {Job} job */
export function stateChip(job) {
  return el("span", { class: `chip chip-${asksLicence(job) ? "paused" : job.state}` }, wordOf(job));
}

/**
 * Returns how much of a run is done, between 0 and 1.
 *
 * @param {Job} job
 */
export function share(job) {
  if (job.state === "done") return 1;
  const done = job.progress?.bytes_done ?? 0;
  const total = job.progress?.bytes_total ?? 0;
  if (total > 0) return Math.min(1, done / total);
  const of = job.progress?.files_total ?? 0;
  return of > 0 ? Math.min(1, (job.progress?.files_done ?? 0) / of) : 0;
}

/**
 * Returns in a line how far a job is.
 *
 * @param {Job} job
 */
export function headline(job) {
  const { progress, report } = job;
  if (asksLicence(job)) return "Its licence is not accepted yet";
  if (job.state === "done" && report) {
    const moved = report.bytes_moved ?? 0;
    return moved > 0 ? `${size(moved)} came in ${duration(report.seconds ?? 0)}` : "All of it was here already";
  }
  if (!progress?.bytes_total) return job.last ?? "";
  const parts = [`${size(progress.bytes_done ?? 0)} of ${size(progress.bytes_total)}`];
  if (job.state === "running" && progress.rate) {
    parts.push(`${size(progress.rate)}/s`);
    parts.push(`${duration((progress.bytes_total - (progress.bytes_done ?? 0)) / progress.rate)} left`);
  }
  return parts.join(" · ");
}

/**
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 * @param {string} name
 */
export async function showJob(root, signal, name) {
  const title = el("h1", { tabIndex: -1 }, store.jobs.get(name)?.title ?? "Plan");
  const chip = el("span");
  const body = el("div", { class: "view" }, waiting("Reading"));
  fill(root, el("div", { class: "title" }, title, chip), body);
  try {
    store.keepJob(await get(`api/jobs/${encodeURIComponent(name)}`, signal));
  } catch (error) {
    if (signal.aborted) return;
    const back = el("a", { class: "button", href: "#/runs" }, "Plans and runs");
    entitle(title, "Not there any more");
    fill(body, problemBox(asProblem(error), back));
    return;
  }
  const view = new JobView({ title, chip, body }, name);
  store.onJob((job) => job.job === name && view.update(job), signal);
  const job = store.jobs.get(name);
  if (job) view.update(job);
}

class JobView {
  /**
   * @param {{title: HTMLElement, chip: HTMLElement, body: HTMLElement}} parts The heading stays: it may have the focus.
   * @param {string} name
   */
  constructor({ title, chip, body }, name) {
    this.name = name;
    this.state = "";
    this.title = title;
    this.chip = chip;
    this.place = el("p", { class: "lead" });
    this.top = el("div", { class: "job-top" });
    this.bar = new ProgressBar();
    this.buttons = el("div", { class: "buttons" });
    this.acted = el("div");
    this.problem = el("div");
    this.failures = el("div");
    this.groups = el("div");
    this.notes = el("div");
    this.say = new SayBox();
    this.files = new JobFiles(name);
    fill(
      body,
      this.place,
      el(
        "div",
        { class: "job" },
        el("div", { class: "job-main" }, this.top, this.bar.element, this.buttons, this.acted, this.problem, this.failures, this.notes, this.groups, this.files.element),
        el("aside", { class: "job-side panel", "aria-label": "The same in a terminal or in Python" }, this.say.element),
      ),
    );
  }

  /** @param {Job} job */
  update(job) {
    entitle(this.title, `${job.kind === "run" ? "Fetch" : "Plan"}: ${job.title}`);
    const where = job.place ?? [store.directory(job.to.directory)?.name, job.to.folder].filter(Boolean).join("/");
    say(this.place, `Into ${where}`);
    this.say.update(job.say);
    this.bar.update(job);
    const key = [job.state, job.failures.length, job.notes.length, job.plan ? 1 : 0, job.report ? 1 : 0].join();
    if (key === this.state) return;
    const changed = this.state.split(",")[0] !== job.state;
    const first = this.state === "";
    this.state = key;
    this.#draw(job);
    if (changed) {
      this.#buttons(job);
      fill(this.acted); // what was said of an earlier state
    }
    if (changed && !first) announce(`${job.title}: ${wordOf(job)}. ${headline(job)}`);
  }

  /** @param {Job} job */
  #draw(job) {
    fill(this.chip, stateChip(job));
    const plan = job.plan;
    fill(this.top, job.kind === "plan" ? plan && planFigures(plan, job.free, job.groups) : job.report && reportFigures(job.report));
    if (job.kind === "plan" && job.state === "running") fill(this.top, waiting("Making the plan"));
    const held = this.problem.contains(document.activeElement);
    fill(this.problem, job.error && this.#problem(job));
    if (held) this.title.focus();
    fill(this.failures, failureList(job));
    fill(this.notes, noteList(job.notes));
    fill(this.groups, job.kind === "plan" && groupTable(job.groups));
    const over = job.state === "done" || job.state === "failed";
    if (over && (job.plan || job.report)) void this.files.load(job.state);
  }

  /** @param {Job} job */
  #problem(job) {
    const error = /** @type {NonNullable<Job["error"]>} */ (job.error);
    if (!asksLicence(job)) return problemBox(error);
    const text = job.kind === "plan" ? "Accept and make the plan" : "Accept and fetch";
    const accept = el("button", { type: "button", class: "button primary", disabled: true }, text);
    accept.addEventListener("click", () => void this.#act(accept, "accept"));
    const box = el("input", { type: "checkbox", onchange: () => (accept.disabled = !box.checked) });
    return el(
      "section",
      { class: "panel licence", "aria-label": "Licence" },
      el("h2", {}, "The owners ask you to accept their terms"),
      el("p", {}, error.text ?? error.message),
      error.advice && el("p", { class: "hint" }, error.advice),
      el("label", { class: "check" }, box, "I have read this and accept it"),
      el("div", { class: "buttons" }, accept),
    );
  }

  /** @param {Job} job */
  #buttons(job) {
    const focused = this.buttons.contains(document.activeElement);
    const button = (/** @type {string} */ act, /** @type {string} */ text, /** @type {string} */ name, main = false) => {
      const element = el("button", { type: "button", class: main ? "button primary" : "button" }, icon(name), text);
      element.addEventListener("click", () => void this.#act(element, act));
      return element;
    };
    /** @type {(HTMLElement | false)[]} */
    let all = [];
    const stop = button("stop", "Stop", "stop");
    const goesOn = job.kind === "run" && ["paused", "failed", "stopped"].includes(job.state);
    const look = el("a", { class: goesOn ? "button" : "button primary", href: lookAt(job) }, icon("eye"), "Look at what came");
    const choose = job.catalogue !== "" && el("a", { class: "button", href: hashOf(["choose", job.catalogue]) }, "Choose others");
    if (job.kind === "plan") {
      if (job.state === "running") all = [stop];
      else if (job.state === "done") all = [button("start", startText(job), "down", true), choose];
      else all = [choose];
    } else if (job.state === "running") all = [button("pause", "Pause", "pause"), stop];
    else if (job.state === "pausing") all = [stop];
    else if (job.state === "paused") all = [button("resume", "Go on", "play", true), stop, look];
    else if (job.state === "done") all = [look, choose];
    else if (asksLicence(job)) all = [choose];
    else all = [button("resume", job.state === "stopped" ? "Go on" : "Try again", "play", true), look, choose];
    fill(this.buttons, all);
    if (focused) /** @type {HTMLElement | null} */ (this.buttons.querySelector("a, button"))?.focus();
  }

  /**
   * @param {HTMLButtonElement} button
   * @param {string} act
   */
  async #act(button, act) {
    const text = "What came is kept. You can go on later with the same choice.";
    if (act === "stop" && !(await ask({ title: "Stop this?", text, yes: "Stop", no: "Let it run" }))) return;
    await acting(button, this.acted, async () => {
      /** @type {Job} */
      const job = await post(`api/jobs/${this.name}/${act}`);
      store.keepJob(job);
      if (job.job !== this.name) go(["runs", job.job]);
    });
  }
}

/** The progress of a run; screen readers hear of it at each quarter. */
class ProgressBar {
  constructor() {
    this.quarter = 0;
    this.fill = el("span", { class: "progress-fill" });
    this.bar = el("div", { class: "progress", role: "progressbar", "aria-label": "Progress", "aria-valuemin": "0", "aria-valuemax": "100" }, this.fill);
    this.percent = el("span", { class: "progress-percent" });
    this.text = el("span", { class: "progress-text" });
    this.news = el("p", { class: "hint" });
    this.element = el("section", { class: "progress-box panel", "aria-label": "Progress" }, el("div", { class: "progress-head" }, this.percent, this.text), this.bar, this.news);
  }

  /** @param {Job} job */
  update(job) {
    this.element.hidden = job.kind !== "run" || asksLicence(job);
    this.element.dataset.state = job.state;
    if (job.kind !== "run") return;
    const percent = Math.floor(share(job) * 100);
    this.fill.style.transform = `scaleX(${share(job)})`;
    this.bar.setAttribute("aria-valuenow", String(percent));
    this.bar.setAttribute("aria-valuetext", `${percent} percent, ${headline(job)}`);
    say(this.percent, `${percent} %`);
    say(this.text, headline(job));
    say(this.news, job.last && job.state === "running" ? job.last : filesDone(job));
    const quarter = Math.floor(percent / 25);
    if (job.state === "running" && quarter > this.quarter) announce(`${percent} percent`);
    this.quarter = quarter;
  }
}

/**
 * Returns how many files are there, of those that are to come: a file that failed is not.
 *
 * @param {Job} job
 */
function filesDone({ progress, report }) {
  const { fetched = 0, kept = 0, refused: _, ...others } = report?.counts ?? {};
  if (report) return `${count(fetched + kept)} of ${files(Object.values(others).reduce((sum, one) => sum + one, fetched + kept))}`;
  return progress?.files_total ? `${count(progress.files_done)} of ${files(progress.files_total)}` : "";
}

/** The files of a plan or a report, asked for as one scrolls. */
class JobFiles {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    this.loaded = "";
    /** @type {Map<number, Record<string, unknown>[]>} */
    this.pages = new Map();
    this.list = new FileList("Files of it", (index) => this.#read(index));
    this.number = el("span", { class: "facet-number" });
    this.element = el("section", { class: "panel files-panel", hidden: true }, el("div", { class: "facet-head" }, el("h2", {}, "Files"), this.number), this.list.element);
  }

  /** @param {string} key Of what is loaded: it is loaded once. */
  async load(key) {
    if (this.loaded === key) return;
    this.loaded = key;
    this.pages.clear();
    const total = await this.#page(0);
    this.element.hidden = total === 0;
    say(this.number, count(total));
    this.list.update(total);
  }

  /** @param {number} page */
  async #page(page) {
    this.pages.set(page, []);
    try {
      /** @type {{files: Record<string, unknown>[], total: number}} */
      const got = await get(`api/jobs/${this.name}/files?from=${page * PAGE}&count=${PAGE}`);
      this.pages.set(page, got.files);
      return got.total;
    } catch {
      this.pages.delete(page); // it is asked for again when it comes into sight
      return 0;
    }
  }

  /**
   * @param {number} index
   * @returns {Shown | null}
   */
  #read(index) {
    const page = Math.floor(index / PAGE);
    const rows = this.pages.get(page);
    if (!rows) void this.#page(page).then(() => this.list.list.soon());
    const row = rows?.[index % PAGE];
    if (!row) return null;
    const word = String(row.status ?? row.action ?? "");
    const kind = { keep: "here", kept: "here", refuse: "withheld", refused: "withheld", failed: "failed" }[word] ?? "";
    const bytes = word === "failed" ? "–" : size(/** @type {number | null} */ (row.size)); // of what failed, nothing is here
    return { path: String(row.path), size: bytes, state: ACTIONS[word] ?? word, kind };
  }
}

/** @param {Job} job */
function lookAt(job) {
  const ofVault = store.catalogues.get(job.catalogue)?.source.kind === "neurovault";
  const folder = job.to.folder || (ofVault ? "neurovault" : "");
  return hashOf(["look", job.to.directory], new URLSearchParams(folder ? { folder } : {}));
}

/** @param {Job} job */
function startText(job) {
  const bytes = job.plan?.bytes_to_fetch ?? 0;
  return bytes > 0 ? `Fetch ${size(bytes)}` : "Look that all is here";
}

/**
 * @param {Figures} plan
 * @param {number | null} free
 * @param {Group[]} groups
 */
function planFigures(plan, free, groups) {
  const left = plan.bytes_free ?? free;
  const comes = plan.bytes_to_fetch ?? 0;
  const tight = left !== null && left !== undefined && comes > left;
  const used = left ? Math.min(1, comes / left) : 0;
  return el(
    "div",
    {},
    el(
      "dl",
      { class: "figures" },
      figure("To fetch", size(comes), files(plan.files_to_fetch)),
      figure("Here already", size(plan.bytes_here), files(plan.files_here)),
      (plan.files_withheld ?? 0) > 0 && figure("Withheld", files(plan.files_withheld), "see why below"),
      left !== null && left !== undefined && figure("Free on this disk", size(left), tight ? "not enough" : `${share100(used)} of it would be used`),
    ),
    left !== null && left !== undefined && stackedBar([{ kind: tight ? "failed" : "fetch", share: used }, { kind: "free", share: 1 - used }]),
    withheldWhy(groups),
    tight && problemBox({ code: "disk_full", message: `${size(comes)} do not fit on this disk, which has ${size(left)} free.`, advice: "Choose fewer files, or another directory." }),
  );
}

/**
 * Makes a line for each reason for which files are withheld, as the command does.
 *
 * @param {Group[]} groups
 */
function withheldWhy(groups) {
  /** @type {Map<string, number>} */
  const reasons = new Map();
  for (const { why, files_total } of groups) {
    if (why.startsWith(WITHHELD)) reasons.set(why, (reasons.get(why) ?? 0) + files_total);
  }
  return [...reasons].map(([why, number]) => el("p", { class: "withheld-why hint" }, `${files(number)} withheld: ${why.slice(WITHHELD.length)}`));
}

/** @param {number} used */
function share100(used) {
  return used < 0.01 ? "less than 1 %" : `${Math.round(used * 100)} %`;
}

/** @param {Figures} report */
function reportFigures(report) {
  const counts = report.counts ?? {};
  return el(
    "dl",
    { class: "figures" },
    figure("Fetched", files(counts.fetched ?? 0), `${size(report.bytes_moved ?? 0)} in ${duration(report.seconds ?? 0)}`),
    (counts.kept ?? 0) > 0 && figure("Here already", files(counts.kept)),
    (counts.refused ?? 0) > 0 && figure("Withheld", files(counts.refused)),
    (counts.failed ?? 0) > 0 && figure("Failed", files(counts.failed), "see below"),
  );
}

/** @param {Group[]} groups */
function groupTable(groups) {
  if (groups.length === 0) return null;
  return el(
    "section",
    { class: "panel" },
    el("h2", {}, "What it is made of"),
    el(
      "div",
      { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Groups of files" },
      el(
        "table",
        { class: "groups" },
        el("thead", {}, el("tr", {}, ["Files of one kind", "Files", "Size", "To fetch"].map((one) => el("th", { scope: "col" }, one)))),
        el(
          "tbody",
          {},
          groups.map((group) =>
            el(
              "tr",
              {},
              el("th", { scope: "row" }, group.what, el("span", {}, group.why)),
              el("td", {}, count(group.files_total)),
              el("td", {}, size(group.bytes_total)),
              el("td", {}, group.bytes_to_fetch ? size(group.bytes_to_fetch) : group.why.startsWith(WITHHELD) ? "withheld" : "nothing"),
            ),
          ),
        ),
      ),
    ),
  );
}

/** @param {Job} job */
function failureList(job) {
  if (job.failures.length === 0) return null;
  return el(
    "section",
    { class: "panel failures", "aria-label": "What failed" },
    el("h2", {}, icon("warning"), `${files(job.failures.length)} failed`),
    el(
      "ul",
      {},
      job.failures.map((one) =>
        el("li", {}, el("code", {}, one.path), el("p", {}, one.reason), one.advice && one.advice !== job.error?.advice && el("p", { class: "hint" }, one.advice)),
      ),
    ),
  );
}
