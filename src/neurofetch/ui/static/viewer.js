// Volumes and surfaces, drawn by NiiVue. It is loaded when the first one is looked at.

import { asProblem } from "./api.js";
import { bytesOf } from "./bytes.js";
import { colours, select, slider } from "./controls.js";
import { CourseChart } from "./course.js";
import { announce, el, fill, freshId, say } from "./dom.js";
import { count, sentence, size, value } from "./format.js";
import { problemBox } from "./parts.js";
import { SurfaceTools } from "./surface.js";

/** @import { NVImage, Niivue } from "@niivue/niivue" */
/** @import { Detail, Item, Problem, Volume } from "./types.js" */

/** @typedef {typeof import("@niivue/niivue")} Library */

const MAPS = ["gray", "warm", "hot", "redyell", "viridis", "plasma", "cividis", "turbo", "blue2red", "winter", "cool", "bone", "red", "random"];
const REGIONS = ["green", "blue", "violet", "copper2", "red", "electric_blue"];
const ALIKE = 7; // anatomy of the same subject in the same space
const KEPT = 12; // frames that were fetched
const BACK = [0.043, 0.051, 0.063, 1];

/** @type {Promise<Library> | null} */
let library = null;

/** @returns {Promise<Library>} */
function loadLibrary() {
  library ??= import(new URL("niivue.mjs", import.meta.url).href);
  return library;
}

/** @returns {Problem | null} */
function withoutGraphics() {
  const canvas = document.createElement("canvas");
  if (canvas.getContext("webgl2")) return null;
  const message = "This browser cannot draw in three dimensions (WebGL 2). The volume was not loaded.";
  return { code: "webgl", message, advice: "Switch hardware acceleration on, or open the page in another browser." };
}

export class Viewer {
  /**
   * @param {HTMLElement} place
   * @param {Detail} detail
   * @param {Item[]} near Other volumes, for what a map is drawn on.
   * @param {AbortSignal} signal
   */
  constructor(place, detail, near, signal) {
    this.place = place;
    this.detail = detail;
    this.near = near;
    this.signal = signal;
    this.frame = 0;
    /** @type {Map<number, {buffer: ArrayBuffer, name: string}>} */
    this.frames = new Map();
    /** @type {Niivue | null} */
    this.nv = null;
    /** @type {Library | null} */
    this.library = null;
    /** @type {NVImage | null} */
    this.main = null;
    /** @type {NVImage | null} */
    this.under = null;
    /** @type {Map<string, NVImage>} */
    this.over = new Map();
    /** @type {SurfaceTools | null} */
    this.surface = null;
    const keys = detail.kind === "surface" ? "Arrow keys turn it." : "Arrow keys, Page Up and Page Down move the crosshair.";
    this.canvas = el("canvas", { tabIndex: 0, role: "img", "aria-label": `${detail.title || detail.name}. ${keys}` });
    this.loading = el("div", { class: "canvas-wait", role: "status" }, "Loading");
    this.box = el("div", { class: "canvas" }, this.canvas, this.loading);
    this.where = el("output", { class: "crosshair", "aria-label": "Under the crosshair" }, " ");
    this.tools = el("div", { class: "viewer-tools" });
    this.trouble = el("div");
    this.course = detail.volume && detail.volume.frames > 1 ? new CourseChart(detail, signal) : null;
  }

  async start() {
    const problem = withoutGraphics();
    if (problem) {
      fill(this.place, problemBox(problem));
      return;
    }
    fill(
      this.place,
      el("div", { class: "viewer" }, el("div", { class: "viewer-main" }, this.box, this.where, this.course?.element, this.trouble), this.tools),
    );
    this.library = await loadLibrary();
    if (this.signal.aborted) return;
    await this.#attach(this.library);
    if (this.detail.kind === "surface") await this.#surface();
    else await this.#volume();
    this.loading.hidden = true;
    this.canvas.dataset.ready = "yes";
    announce(`${this.detail.title || this.detail.name} is drawn`);
  }

  /** @param {Library} made */
  async #attach({ Niivue }) {
    const nv = new Niivue({
      backColor: /** @type {[number, number, number, number]} */ (BACK),
      crosshairColor: [0.35, 0.8, 0.76, 0.9],
      crosshairWidth: 0.3,
      isColorbar: true,
      show3Dcrosshair: true,
      isOrientationTextVisible: true,
      multiplanarShowRender: 1,
      loadingText: "",
      logLevel: "error",
      dragAndDropEnabled: false,
    });
    nv.onLocationChange = (/** @type {any} */ place) => this.#located(place);
    await nv.attachToCanvas(this.canvas, false);
    this.nv = nv;
    this.box.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    this.signal.addEventListener("abort", () => this.#close(), { once: true });
  }

  #close() {
    this.nv?.cleanup();
    this.nv?.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    this.nv = null;
  }

  async #surface() {
    if (!this.nv || !this.library) return;
    this.where.hidden = true;
    this.surface = new SurfaceTools(this.nv, this.library, this.detail, this.signal);
    fill(this.tools, await this.surface.start((share) => this.#waits(share), (act) => void this.#try(act)));
  }

  async #volume() {
    const { volume } = this.detail;
    if (!volume) return;
    await this.#showFrame(0);
    this.#drawTools(volume);
    const under = this.#onWhat()[0];
    if (this.detail.is_map && under && this.#likeness(under) === ALIKE) await this.#drawOn(under.item);
  }

  /** @param {number} share */
  #waits(share) {
    this.loading.hidden = false;
    say(this.loading, `Loading, ${Math.round(share * 100)} %`);
  }

  /**
   * Makes an image of bytes.
   *
   * @param {{buffer: ArrayBuffer, name: string}} bytes
   * @param {string} colors
   * @param {number} low
   * @param {number} high
   * @param {string} [negative]
   */
  async #image({ buffer, name }, colors, low, high, negative = "") {
    const made = /** @type {Library} */ (this.library);
    return made.NVImage.new(buffer.slice(0), name, colors, 1, null, low, high, true, 0.02, false, false, negative, 0, /** @type {any} */ (0), NaN, NaN, true, null, 0, null);
  }

  /** @param {number} frame */
  async #showFrame(frame) {
    const { volume, item, version } = this.detail;
    if (!volume) return;
    this.frame = frame;
    let bytes = this.frames.get(frame);
    if (!bytes) {
      bytes = await bytesOf(`api/items/${item}/volume?frame=${frame}&v=${encodeURIComponent(version)}`, this.signal, (share) => this.#waits(share));
      if (this.frames.size >= KEPT) this.frames.delete(/** @type {number} */ (this.frames.keys().next().value));
      this.frames.set(frame, bytes);
    }
    if (frame !== this.frame || this.signal.aborted) return;
    const before = this.main;
    const low = before?.cal_min ?? (volume.symmetric ? volume.threshold || volume.cal_max / 20 : volume.cal_min);
    const image = await this.#image(bytes, before?.colormap ?? volume.colormap, low ?? volume.low, before?.cal_max ?? (volume.symmetric ? Math.max(volume.cal_max, 2 * (volume.threshold ?? 0)) : volume.cal_max), before?.colormapNegative ?? volume.colormap_negative ?? "");
    if (before) image.opacity = before.opacity;
    this.main = image;
    this.loading.hidden = true;
    this.#layer();
    this.course?.mark(frame);
  }

  /** Puts the layers in order: what it is drawn on, the volume itself, regions. */
  #layer() {
    const { nv, main } = this;
    if (!nv || !main) return;
    const mm = nv.back ? nv.frac2mm(nv.scene.crosshairPos) : null;
    nv.volumes = [...(this.under ? [this.under] : []), main, ...this.over.values()];
    nv.back = nv.volumes[0] ?? null;
    nv.overlays = nv.volumes.slice(1);
    for (const image of nv.volumes) image.colorbarVisible = image === main;
    nv.updateGLVolume();
    if (mm) {
      nv.scene.crosshairPos = nv.mm2frac([mm[0] ?? 0, mm[1] ?? 0, mm[2] ?? 0]);
      nv.createOnLocationChange();
    } else this.#center();
  }

  /** Puts the crosshair where the map is strongest, which is what one looks for. */
  #center() {
    const { nv, main } = this;
    if (!nv || !main) return;
    if (this.detail.is_map && main.img && main.dimsRAS && main.hdr) {
      let best = 0;
      let most = -Infinity;
      for (let n = 0; n < main.img.length; n += 1) {
        const one = Math.abs(/** @type {number} */ (main.img[n]));
        if (one > most) [most, best] = [one, n];
      }
      if (most === -Infinity) fill(this.trouble, el("p", { class: "notice" }, "This map has no value in any voxel: all of them are NaN."));
      if (!(most > 0)) {
        nv.createOnLocationChange();
        return;
      }
      const [, x = 1, y = 1] = main.hdr.dims;
      const voxel = [best % x, Math.floor(best / x) % y, Math.floor(best / (x * y))];
      const mm = mmOf(main, voxel);
      nv.scene.crosshairPos = nv.mm2frac([mm[0] ?? 0, mm[1] ?? 0, mm[2] ?? 0]);
      nv.drawScene();
    }
    nv.createOnLocationChange();
  }

  /** @param {{mm: number[], values: {id: string, value: number}[]}} place */
  #located({ mm, values }) {
    const { main } = this;
    if (!main) return;
    const voxel = voxelOf(main, [...mm].slice(0, 3)).map((one) => one * (this.detail.volume?.step ?? 1));
    const found = values.find((one) => one.id === main.id)?.value;
    const unit = this.detail.volume?.unit ? ` ${this.detail.volume.unit}` : "";
    const millimetres = [...mm].slice(0, 3).map((one) => one.toFixed(1)).join(", ");
    fill(
      this.where,
      el("span", {}, el("b", {}, `${value(found)}${unit}`)),
      el("span", {}, `${millimetres} mm`),
      el("span", {}, `voxel ${voxel.join(", ")}`),
      [...this.over].filter(([, image]) => (values.find((one) => one.id === image.id)?.value ?? 0) !== 0).map(([item, image]) => el("span", {}, this.#isLabels(item) ? `${image.name} ${value(values.find((one) => one.id === image.id)?.value)}` : image.name)),
    );
    const shape = this.detail.volume?.shape ?? [];
    if (voxel.every((one, axis) => one >= 0 && one < (shape[axis] ?? 0))) void this.course?.show(voxel);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Tab" || event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // NiiVue has letters for what the tools below do
    const far = event.shiftKey ? 5 : 1;
    /** @type {Record<string, [number, number, number]>} */
    const moves = {
      ArrowLeft: [-far, 0, 0],
      ArrowRight: [far, 0, 0],
      ArrowDown: [0, -far, 0],
      ArrowUp: [0, far, 0],
      PageDown: [0, 0, -far],
      PageUp: [0, 0, far],
    };
    const move = moves[event.key];
    if (!move || !this.nv) return;
    event.preventDefault();
    if (this.surface) this.surface.turn(move);
    else this.nv.moveCrosshairInVox(...move);
  }

  // -- tools --------------------------------------------------------------------------------------

  /** @param {Volume} volume */
  #drawTools(volume) {
    const most = Math.max(Math.abs(volume.cal_max), Math.abs(volume.high), Math.abs(volume.low), 2 * (volume.threshold ?? 0)) * 1.5 || 1;
    const least = volume.symmetric ? 0 : Math.min(volume.low, volume.cal_min, 0);
    fill(
      this.tools,
      this.#views(),
      volume.frames > 1 && this.#frameSlider(volume),
      slider(volume.symmetric ? "Threshold" : "Darkest", least, most, this.main?.cal_min ?? least, (to) => this.#range(to, null)),
      slider("Brightest", least, most, this.main?.cal_max ?? most, (to) => this.#range(null, to)),
      slider("Opacity", 0, 1, 1, (to) => this.#opacity(to)),
      this.#colors(volume),
      this.#underSelect(),
      this.#regions(),
      volume.cut && el("p", { class: "notice" }, `${sentence(volume.cut).replace(/\.$/, "")}.`),
      this.#about(volume),
    );
  }

  /** @param {Volume} volume */
  #about(volume) {
    const shape = volume.shape.filter((one, axis) => axis < 3 || one > 1).map(count).join(" × ");
    return el("p", { class: "hint" }, `${shape}, ${size(volume.served_bytes)} at a time`);
  }

  #views() {
    const { nv } = this;
    if (!nv) return null;
    /** @type {[string, number][]} */
    const views = [["All", nv.sliceTypeMultiplanar], ["Axial", nv.sliceTypeAxial], ["Coronal", nv.sliceTypeCoronal], ["Sagittal", nv.sliceTypeSagittal], ["3-D", nv.sliceTypeRender]];
    const name = freshId();
    return el(
      "fieldset",
      { class: "segments" },
      el("legend", {}, "View"),
      views.map(([title, type], n) => el("label", {}, el("input", { type: "radio", name, checked: n === 0, onchange: () => nv.setSliceType(type) }), el("span", {}, title))),
    );
  }

  /** @param {Volume} volume */
  #frameSlider(volume) {
    const last = volume.frames - 1;
    const text = (/** @type {number} */ frame) => `${frame + 1} of ${count(volume.frames)}`;
    let wanted = 0;
    return slider("Frame", 0, last, 0, (to) => {
      wanted = to;
      setTimeout(() => {
        if (wanted === to) void this.#try(() => this.#showFrame(to));
      }, 120);
    }, 1, text);
  }

  /**
   * @param {number | null} low
   * @param {number | null} high
   */
  #range(low, high) {
    const { main, nv } = this;
    if (!main || !nv) return;
    if (low !== null) main.cal_min = low;
    if (high !== null) main.cal_max = Math.max(high, (main.cal_min ?? 0) + 1e-9);
    nv.updateGLVolume();
  }

  /** @param {number} opacity */
  #opacity(opacity) {
    const { main, nv } = this;
    if (main && nv) nv.setOpacity(nv.volumes.indexOf(main), opacity);
  }

  /** @param {Volume} volume */
  #colors(volume) {
    const names = MAPS.includes(volume.colormap) ? MAPS : [volume.colormap, ...MAPS];
    return colours(names, volume.colormap, (name) => {
      if (this.main && this.nv) this.nv.setColormap(this.main.id, name);
    });
  }

  /** Volumes that this one can be drawn on, the likeliest first. */
  #onWhat() {
    const likely = this.near.filter((one) => !one.is_map && !one.is_mask);
    return likely.sort((one, other) => this.#likeness(other) - this.#likeness(one)).slice(0, 40);
  }

  /** @param {Item} item */
  #likeness({ path, space, entities }) {
    const anatomy = Number(path.includes("T1w") || path.includes("anat/"));
    return Number(space === this.detail.space) * 4 + Number(entities.subject === this.detail.entities.subject) * 2 + anatomy;
  }

  #underSelect() {
    if (!this.detail.is_map && !this.detail.is_mask) return null;
    const all = this.#onWhat();
    if (all.length === 0) return null;
    this.onWhat = select("Drawn on", [["", "nothing"], ...all.map((one) => /** @type {[string, string]} */ ([one.item, one.title || one.name]))], "", (item) => void this.#try(() => this.#drawOn(item)));
    return this.onWhat;
  }

  /** @param {string} item Empty for nothing. */
  async #drawOn(item) {
    const list = this.onWhat?.querySelector("select");
    if (list) list.value = item;
    if (!item) this.under = null;
    else {
      const bytes = await bytesOf(`api/items/${item}/volume?frame=0`, this.signal, (share) => this.#waits(share));
      const image = await this.#image(bytes, "gray", NaN, NaN);
      if (this.signal.aborted) return;
      this.under = image;
    }
    this.loading.hidden = true;
    this.#layer();
  }

  #regions() {
    const { overlays } = this.detail;
    if (overlays.length === 0) return null;
    return el(
      "fieldset",
      { class: "checks regions" },
      el("legend", {}, "Regions"),
      overlays.map((item, n) => {
        const box = el("input", { type: "checkbox", onchange: () => void this.#try(() => this.#region(item, n, box.checked)) });
        return el("label", {}, box, item.title || item.name);
      }),
    );
  }

  /**
   * @param {Item} item
   * @param {number} number
   * @param {boolean} shown
   */
  async #region(item, number, shown) {
    if (!shown) this.over.delete(item.item);
    else {
      const bytes = await bytesOf(`api/items/${item.item}/volume?frame=0`, this.signal, (share) => this.#waits(share));
      const labels = this.#isLabels(item.item);
      const image = await this.#image(bytes, labels ? "random" : (REGIONS[number % REGIONS.length] ?? "green"), 0.5, 1.5);
      if (labels) image.cal_max = Math.max(1.5, image.global_max ?? 0);
      image.opacity = 0.55;
      image.name = item.title || item.name;
      if (this.signal.aborted) return;
      this.over.set(item.item, image);
    }
    this.loading.hidden = true;
    this.#layer();
  }

  /**
   * Says whether a region has a number, and so a colour, for each of several parts.
   *
   * @param {string} item
   */
  #isLabels(item) {
    return this.detail.overlays.some((one) => one.item === item && !one.is_mask);
  }

  /** @param {() => Promise<void>} act */
  async #try(act) {
    try {
      fill(this.trouble);
      await act();
    } catch (error) {
      this.loading.hidden = true;
      if (!this.signal.aborted) fill(this.trouble, problemBox(asProblem(error)));
    }
  }
}

/**
 * Returns the millimetres of a voxel of a file, by its own affine.
 *
 * @param {NVImage} image
 * @param {number[]} voxel
 */
function mmOf(image, voxel) {
  const affine = image.hdr?.affine ?? [];
  return [0, 1, 2].map((row) => (affine[row]?.[3] ?? 0) + voxel.reduce((sum, one, n) => sum + one * (affine[row]?.[n] ?? 0), 0));
}

/**
 * Returns the voxel of a file at a place in millimetres: NiiVue's own are those of the turned volume.
 *
 * @param {NVImage} image
 * @param {number[]} mm
 */
function voxelOf(image, mm) {
  const a = image.hdr?.affine ?? [];
  const m = (/** @type {number} */ r, /** @type {number} */ c) => a[r]?.[c] ?? 0;
  const b = mm.map((one, r) => one - m(r, 3));
  const det = (/** @type {number[][]} */ x) => {
    const at = (/** @type {number} */ r, /** @type {number} */ c) => x[r]?.[c] ?? 0;
    return at(0, 0) * (at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1)) - at(0, 1) * (at(1, 0) * at(2, 2) - at(1, 2) * at(2, 0)) + at(0, 2) * (at(1, 0) * at(2, 1) - at(1, 1) * at(2, 0));
  };
  const whole = [0, 1, 2].map((r) => [0, 1, 2].map((c) => m(r, c)));
  const of = det(whole) || 1;
  return [0, 1, 2].map((column) => Math.round(det(whole.map((row, r) => row.map((one, c) => (c === column ? (b[r] ?? 0) : one)))) / of));
}
