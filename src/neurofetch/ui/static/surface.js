// Surfaces: a mesh, and the values of a file on the mesh that they fit.

import { ApiError } from "./api.js";
import { bytesOf } from "./bytes.js";
import { colours, select, slider } from "./controls.js";
import { el, freshId } from "./dom.js";
import { count } from "./format.js";

/** @import { NVMesh, Niivue } from "@niivue/niivue" */
/** @import { Detail } from "./types.js" */

/** @typedef {typeof import("@niivue/niivue")} Library */
/** @typedef {NonNullable<NVMesh["layers"]>[number]} Layer */
/** @typedef {(share: number) => void} Heard */

const MAPS = ["warm", "hot", "redyell", "viridis", "plasma", "cividis", "turbo", "gray"];
const SIDES = /** @type {[string, number, number][]} */ ([["Left", 270, 0], ["Right", 90, 0], ["Front", 180, 0], ["Back", 0, 0], ["Top", 0, 90], ["Below", 0, -90]]);
const GREY = new Uint8Array([205, 203, 198, 255]);
const TURN = 10; // degrees of a key
const CUSTOMARY = 2.3; // below this, z and t are hidden at first where larger ones are there, as in volumes
const TOP = 0.98; // of the values: a few that are far away leave the colours to the others
const PART = 0x8000; // bytes that become letters at once

export class SurfaceTools {
  /**
   * @param {Niivue} nv
   * @param {Library} made
   * @param {Detail} detail
   * @param {AbortSignal} signal
   */
  constructor(nv, made, detail, signal) {
    this.nv = nv;
    this.made = made;
    this.detail = detail;
    this.signal = signal;
    this.wanted = "";
    /** @type {NVMesh | null} */
    this.mesh = null;
    /** @type {Layer | null} */
    this.layer = null;
  }

  /**
   * Draws the surface, and returns the tools that it has.
   *
   * @param {Heard} heard Called with what is here of it.
   * @param {(act: () => Promise<void>) => void} attempt Does something later, and shows what goes wrong.
   */
  async start(heard, attempt) {
    const { detail, nv } = this;
    const { is_mesh: isMesh, vertices, meshes } = detail.surface ?? { is_mesh: true, vertices: null, meshes: [] };
    const first = isMesh ? detail : meshes[0];
    if (!isMesh && !vertices) throw unreadable(detail.name, "it has neither a mesh nor values");
    if (!first) {
      const message = `These are values at ${count(vertices)} vertices of a surface, and no mesh of as many vertices is here. They are not shown.`;
      throw new ApiError(0, { code: "no_mesh", message, advice: "Fetch the surface (.surf.gii) of the same subject and hemisphere, and look again." });
    }
    nv.opts.show3Dcrosshair = false;
    nv.setSliceType(nv.sliceTypeRender);
    await this.#draw(first.item, first.name, heard);
    if (isMesh) return [this.#sides()];
    const values = await bytesOf(`api/items/${detail.item}/surface`, this.signal, heard);
    await this.#putOn(values);
    const mesh = select("Drawn on", meshes.map((one) => [one.item, one.title || one.name]), first.item, (item) => {
      const name = meshes.find((one) => one.item === item)?.name ?? "mesh.surf.gii";
      attempt(() => this.#draw(item, name, () => {}));
    });
    return [this.#sides(), ...this.#valueTools(), mesh];
  }

  /**
   * Draws a mesh in the place of the one before, with the same values on it.
   *
   * @param {string} item
   * @param {string} name
   * @param {Heard} heard
   */
  async #draw(item, name, heard) {
    const { nv, made } = this;
    this.wanted = item;
    const { buffer } = await bytesOf(`api/items/${item}/surface`, this.signal, heard);
    const mesh = await understood(name, () => made.NVMesh.readMesh(buffer, plain(name), nv.gl, 1, GREY, true));
    if (this.signal.aborted || this.wanted !== item) return; // another one was chosen meanwhile
    if (this.layer) mesh.layers.push(this.layer);
    if (this.mesh) {
      this.mesh.layers = []; // the viewer frees what is on a mesh that it lets go
      nv.removeMesh(this.mesh);
    }
    this.mesh = mesh;
    nv.addMesh(mesh);
    mesh.updateMesh(nv.gl);
    const [, azimuth, elevation] = SIDES[this.detail.entities.hemisphere === "R" ? 1 : 0] ?? ["", 270, 0];
    if (!this.layer) nv.setRenderAzimuthElevation(azimuth, elevation);
    nv.updateGLVolume();
  }

  /** @param {{buffer: ArrayBuffer}} values */
  async #putOn({ buffer }) {
    const { nv, made, mesh, detail } = this;
    if (!mesh || this.signal.aborted) return;
    const given = /** @type {any} */ ({ base64: base64(buffer), name: plain(detail.name), opacity: 1 });
    await understood(detail.name, () => made.NVMesh.loadLayer(given, mesh));
    const layer = mesh.layers[0];
    if (!layer) return;
    this.layer = layer;
    const { signed, most } = rangeOf(layer.values);
    layer.useNegativeCmap = signed;
    layer.colormap = "warm";
    layer.colormapNegative = "blue2cyan";
    const hides = ["z", "t"].includes(detail.entities.statistic ?? "") && most > CUSTOMARY;
    layer.cal_min = hides ? CUSTOMARY : signed ? most / 20 : Math.min(0, layer.global_min ?? 0);
    layer.cal_max = most;
    layer.isTransparentBelowCalMin = true;
    mesh.updateMesh(nv.gl);
    nv.updateGLVolume();
  }

  #sides() {
    const name = freshId();
    const shown = this.detail.entities.hemisphere === "R" ? 1 : 0;
    return el(
      "fieldset",
      { class: "segments" },
      el("legend", {}, "Seen from"),
      SIDES.map(([title, azimuth, elevation], n) =>
        el("label", {}, el("input", { type: "radio", name, checked: n === shown, onchange: () => this.nv.setRenderAzimuthElevation(azimuth, elevation) }), el("span", {}, title))),
    );
  }

  #valueTools() {
    const { layer } = this;
    if (!layer || layer.colormapLabel) return []; // a label has its own colour in the file
    const most = Math.max(Math.abs(layer.global_max ?? 1), Math.abs(layer.global_min ?? 0)) || 1;
    const least = layer.useNegativeCmap ? 0 : Math.min(0, layer.global_min ?? 0);
    const frames = layer.nFrame4D;
    return [
      frames > 1 && slider("Frame", 0, frames - 1, 0, (to) => this.#set({ frame4D: to }), 1, (at) => `${at + 1} of ${count(frames)}`),
      slider(layer.useNegativeCmap ? "Threshold" : "Darkest", least, most, layer.cal_min, (to) => this.#set({ cal_min: to })),
      slider("Brightest", least, most, layer.cal_max, (to) => this.#set({ cal_max: Math.max(to, layer.cal_min + 1e-6) })),
      slider("Opacity", 0, 1, 1, (to) => this.#set({ opacity: to })),
      colours(MAPS, layer.colormap, (to) => this.#set({ colormap: to })),
    ];
  }

  /** @param {Partial<Layer>} to */
  #set(to) {
    if (!this.layer || !this.mesh) return;
    Object.assign(this.layer, to);
    this.mesh.updateMesh(this.nv.gl);
    this.nv.drawScene();
  }

  /**
   * Turns the surface.
   *
   * @param {[number, number, number]} by Steps to the right and upwards.
   */
  turn([across, up]) {
    const { renderAzimuth, renderElevation } = this.nv.scene;
    this.nv.setRenderAzimuthElevation(renderAzimuth + across * TURN, Math.max(-90, Math.min(90, renderElevation + up * TURN)));
  }
}

/**
 * Says of a file that the viewer does not understand what a reader can do about it.
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} read
 */
async function understood(name, read) {
  try {
    return await read();
  } catch (error) {
    throw unreadable(name, error instanceof Error ? error.message : String(error));
  }
}

/**
 * @param {string} name
 * @param {string} why
 */
function unreadable(name, why) {
  const message = `${name} cannot be drawn: ${why}. It is not shown.`;
  return new ApiError(0, { code: "unreadable", message, advice: "Run `neurofetch verify` on its data directory: it says which files to fetch again." });
}

/**
 * Returns a name by whose end the viewer knows the kind of file, whatever else is in it.
 *
 * @param {string} name
 */
function plain(name) {
  return name.replace(/[^A-Za-z0-9._+-]/g, "_");
}

/** @param {ArrayBuffer} buffer */
function base64(buffer) {
  const bytes = new Uint8Array(buffer);
  let text = "";
  for (let n = 0; n < bytes.length; n += PART) text += String.fromCharCode(...bytes.subarray(n, n + PART));
  return btoa(text);
}

/**
 * Returns whether values have both signs, and where their colours end.
 *
 * @param {ArrayLike<number>} values
 */
function rangeOf(values) {
  const known = Float64Array.from(values, (one) => Math.abs(one)).filter((one) => Number.isFinite(one) && one > 0).sort();
  let signed = false;
  for (let n = 0; n < values.length && !signed; n += 1) signed = (values[n] ?? 0) < 0;
  return { signed, most: known[Math.floor((known.length - 1) * TOP)] ?? 1 };
}
