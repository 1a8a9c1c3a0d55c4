// The page: which view is shown, the steps, and whether the server is there.

import { byId, el, fill, say } from "./dom.js";
import { icon } from "./icons.js";
import { HAS_KEY } from "./key.js";
import { showChoose } from "./choose.js";
import { showJob } from "./job.js";
import { showJobs } from "./jobs.js";
import { showLook } from "./look.js";
import { routeOf } from "./router.js";
import { showSources } from "./sources.js";
import { startTheme } from "./theme.js";
import { store } from "./store.js";
import { emptyState, waiting } from "./parts.js";

/** @import { Route } from "./router.js" */

const WHOLE = "Open the whole address that neurofetch ui printed, with all that stands after its question mark. A second tab needs it, too.";

/** @type {AbortController | null} */
let left = null;

/** @param {Route} route */
function stepOf({ parts }) {
  const [name = "source"] = parts;
  return ["choose", "runs", "look"].includes(name) ? name : "source";
}

/** @param {boolean} moves Whether the focus goes to the new view. */
async function show(moves) {
  const route = routeOf();
  left?.abort();
  const leaving = new AbortController();
  left = leaving;
  const root = el("div", { class: `content content-${stepOf(route)}` });
  fill(byId("main"), root);
  mark(stepOf(route));
  scrollTo(0, 0);
  const [step, name] = route.parts;
  const { signal } = leaving;
  if (step === "choose" && name) void showChoose(root, signal, name, route.query);
  else if (step === "runs" && name) void showJob(root, signal, name);
  else if (step === "runs") showJobs(root, signal);
  else if (step === "look") showLook(root, signal, name, route.query);
  else showSources(root, signal);
  const heading = root.querySelector("h1");
  document.title = `${heading?.textContent ?? "neurofetch"} · neurofetch`;
  if (moves && heading instanceof HTMLElement) heading.focus({ preventScroll: true });
}

/** @param {string} step */
function mark(step) {
  for (const link of document.querySelectorAll("nav a")) {
    const current = link instanceof HTMLElement && link.dataset.step === step;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const open = [...store.catalogues.keys()].pop();
  const choose = /** @type {HTMLAnchorElement} */ (byId("step-choose"));
  const { hash } = location;
  if (step === "choose") choose.href = hash;
  else if (open && choose.getAttribute("href") === "#/") choose.href = `#/choose/${open}`;
}

/** Says whether the server is there, in words and not by colour alone. */
function showConnection() {
  const { connection, problem } = store;
  const banner = byId("banner");
  const mode = byId("connection");
  mode.dataset.state = connection;
  say(byId("connection-text"), { there: "connected", away: "not connected", closed: "closed" }[connection]);
  if (connection === "there") {
    fill(banner);
    return;
  }
  let [title, text] = ["The program behind this page does not answer", "What was fetched is kept. Look whether neurofetch ui still runs in its terminal, and your tunnel: this page goes on by itself. If it has ended, start it again and open the address that it prints."];
  if (connection === "closed") [title, text] = HAS_KEY ? ["This page belongs to a program that has ended", problem?.message ?? WHOLE] : ["This tab has no key", WHOLE];
  if (connection === "closed" && store.version === "") {
    fill(byId("main"), el("div", { class: "content" }, el("h1", { tabIndex: -1 }, "This page is locked"), emptyState("away", title, text)));
    return;
  }
  fill(banner, el("div", { class: "banner" }, icon("away"), el("p", {}, el("b", {}, title), text)));
}

/** Shows on the step how many runs are at work. */
function showWorking() {
  const working = [...store.jobs.values()].filter((job) => job.state === "running" && job.kind === "run").length;
  const badge = byId("working");
  badge.hidden = working === 0;
  say(badge, working ? `${working} running` : "");
}

async function start() {
  history.replaceState(null, "", location.pathname + location.hash); // the token leaves the address
  startTheme();
  const skip = byId("skip");
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  const { signal } = new AbortController();
  store.addEventListener("connection", showConnection);
  store.onJob(showWorking, signal);
  fill(byId("main"), waiting("Asking the program behind this page"));
  await store.connect();
  while (store.version === "") await new Promise((resolve) => store.addEventListener("directories", resolve, { once: true }));
  say(byId("version"), store.version);
  showConnection();
  showWorking();
  addEventListener("hashchange", () => void show(true));
  await show(false);
}

void start();
