// All plans and runs, the newest first.

import { el, fill, say } from "./dom.js";
import { clock, size } from "./format.js";
import { icon } from "./icons.js";
import { emptyState } from "./parts.js";
import { hashOf } from "./router.js";
import { store } from "./store.js";
import { headline, share, stateChip } from "./job.js";

/** @import { Job } from "./types.js" */

/**
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 */
export function showJobs(root, signal) {
  const list = el("ul", { class: "rows jobs" });
  /** @type {Map<string, HTMLElement>} */
  const rows = new Map();
  const place = el("div");
  fill(root, el("h1", { tabIndex: -1 }, "Plans and runs"), place);
  const draw = () => {
    if (store.jobs.size === 0) {
      const choose = el("a", { class: "button primary", href: "#/" }, "Choose a source");
      fill(place, emptyState("down", "Nothing was planned yet", "A plan says what would come, how large it is and what is here.", choose));
    } else if (!list.isConnected) fill(place, list);
  };
  /** @param {Job} job */
  const put = (job) => {
    draw();
    let row = rows.get(job.job);
    if (!row) {
      row = el("li");
      rows.set(job.job, row);
      list.prepend(row);
    }
    update(row, job);
  };
  store.onJob(put, signal);
  draw();
  for (const job of store.jobs.values()) put(job);
}

/**
 * @param {HTMLElement} row
 * @param {Job} job
 */
function update(row, job) {
  if (!row.firstChild) {
    const link = el(
      "a",
      { href: hashOf(["runs", job.job]) },
      icon(job.kind === "run" ? "down" : "text"),
      el("span", { class: "row-title" }, `${job.kind === "run" ? "Fetch" : "Plan"}: ${job.title}`),
      el("span", { class: "row-about" }),
      el("span", { class: "row-time" }),
      el("span", { class: "row-state" }),
      el("span", { class: "row-bar", "aria-hidden": "true" }),
    );
    row.append(link);
  }
  const find = (/** @type {string} */ name) => /** @type {HTMLElement} */ (row.querySelector(name));
  say(find(".row-about"), about(job));
  say(find(".row-time"), clock(job.begun));
  const chip = stateChip(job);
  if (find(".row-state").textContent !== chip.textContent) fill(find(".row-state"), chip);
  const bar = find(".row-bar");
  bar.hidden = job.kind !== "run" || job.state === "done";
  bar.style.transform = `scaleX(${share(job)})`;
}

/** @param {Job} job */
function about(job) {
  if (job.kind === "plan" && job.plan) return `${size(job.plan.bytes_to_fetch)} to fetch`;
  return headline(job);
}
