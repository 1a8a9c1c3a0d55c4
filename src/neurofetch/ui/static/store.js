// What the page knows of the server, and whether the server is there. Views listen to it.

import { withKey } from "./key.js";
import { ApiError, asProblem, get } from "./api.js";

/** @import { Catalogue, Directory, Job, Problem, Source, Start } from "./types.js" */

const RETRY = 1500; // milliseconds
const ANSWERS = 15_000; // within this the server answers what is small
const SILENT = 45_000; // three times what the server leaves between two beats: a tunnel that hangs closes nothing

/**
 * Holds jobs and catalogues, the newest state of each. It tells "job", "catalogue", "directories" and
 * "connection"; the detail of the first two is the job or catalogue.
 */
class Store extends EventTarget {
  constructor() {
    super();
    this.version = "";
    /** @type {Source[]} */
    this.sources = [];
    /** @type {Directory[]} */
    this.directories = [];
    /** @type {Map<string, Catalogue>} */
    this.catalogues = new Map();
    /** @type {Map<string, Job>} */
    this.jobs = new Map();
    /** @type {Start["viewer"]} */
    this.viewer = { ready: true, why: null };
    /** @type {"there" | "away" | "closed"} */
    this.connection = "away";
    /** @type {Problem | null} */
    this.problem = null;
    /** @type {EventSource | null} */
    this.stream = null;
    this.heard = 0;
    setInterval(() => this.#listens(), 5_000);
  }

  /** Asks for everything, and listens to what changes. */
  async connect() {
    try {
      this.take(await get("api/start", AbortSignal.timeout(ANSWERS)));
    } catch (error) {
      this.lost(error);
      return;
    }
    this.listen();
  }

  /** @param {Start} start */
  take(start) {
    this.version = start.version;
    this.sources = start.sources;
    this.viewer = start.viewer;
    this.directories = start.directories;
    this.catalogues = new Map(start.catalogues.map((one) => [one.catalogue, one]));
    this.jobs = new Map(start.jobs.map((one) => [one.job, one]));
    this.become("there", null);
    for (const job of start.jobs) this.tell("job", job);
    for (const catalogue of start.catalogues) this.tell("catalogue", catalogue);
    this.tell("directories", null);
  }

  listen() {
    this.stream?.close();
    const stream = new EventSource(withKey("api/events"));
    this.stream = stream;
    this.heard = Date.now();
    stream.addEventListener("job", (event) => this.keepJob(JSON.parse(event.data)));
    stream.addEventListener("catalogue", (event) => this.keepCatalogue(JSON.parse(event.data)));
    for (const name of ["job", "catalogue", "beat"]) stream.addEventListener(name, () => (this.heard = Date.now()));
    stream.onerror = () => {
      stream.close();
      if (this.stream === stream) void this.connect();
    };
  }

  /** Asks anew where the server has been silent for too long. */
  #listens() {
    if (!this.stream || Date.now() - this.heard < SILENT) return;
    this.stream.close();
    this.stream = null;
    this.become("away", null);
    void this.connect();
  }

  /** @param {unknown} error */
  lost(error) {
    this.stream?.close();
    this.stream = null;
    const refused = error instanceof ApiError && (error.status === 401 || error.status === 403);
    this.become(refused ? "closed" : "away", asProblem(error));
    setTimeout(() => void this.connect(), refused ? RETRY * 4 : RETRY);
  }

  /** Looks at the directories again: what is free, and which folders are there. */
  async lookAgain() {
    try {
      /** @type {Start} */
      const start = await get("api/start");
      this.directories = start.directories;
      this.tell("directories", null);
    } catch (error) {
      this.lost(error);
    }
  }

  /** @param {Job} job */
  keepJob(job) {
    this.jobs.set(job.job, job);
    this.tell("job", job);
  }

  /** @param {Catalogue} catalogue */
  keepCatalogue(catalogue) {
    const before = this.catalogues.get(catalogue.catalogue);
    const whole = { ...catalogue };
    if (before?.facets && !whole.facets) whole.facets = before.facets;
    this.catalogues.set(catalogue.catalogue, whole);
    this.tell("catalogue", whole);
  }

  /**
   * @param {Store["connection"]} connection
   * @param {Problem | null} problem
   */
  become(connection, problem) {
    if (this.connection === connection && this.problem?.message === problem?.message) return;
    this.connection = connection;
    this.problem = problem;
    this.tell("connection", null);
  }

  /**
   * @param {string} name
   * @param {Job | Catalogue | null} detail
   */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /**
   * Calls a function with each state of a job from now on.
   *
   * @param {(job: Job) => void} listener
   * @param {AbortSignal} signal
   */
  onJob(listener, signal) {
    this.addEventListener("job", (event) => listener(/** @type {CustomEvent} */ (event).detail), { signal });
  }

  /**
   * Calls a function with each state of a catalogue from now on.
   *
   * @param {(catalogue: Catalogue) => void} listener
   * @param {AbortSignal} signal
   */
  onCatalogue(listener, signal) {
    const hear = (/** @type {Event} */ event) => listener(/** @type {CustomEvent} */ (event).detail);
    this.addEventListener("catalogue", hear, { signal });
  }

  /**
   * Returns the directory of this name.
   *
   * @param {string} name
   */
  directory(name) {
    return this.directories.find((one) => one.directory === name);
  }
}

export const store = new Store();
