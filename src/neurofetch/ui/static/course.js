// The time course of a voxel, drawn as a line.

import { get } from "./api.js";
import { el, say } from "./dom.js";
import { count, value } from "./format.js";

/** @import { Course, Detail } from "./types.js" */

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [600, 96];
const WAIT = 180; // milliseconds the crosshair must rest

/**
 * @param {string} tag
 * @param {Record<string, string>} attributes
 */
function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, text] of Object.entries(attributes)) element.setAttribute(name, text);
  return element;
}

export class CourseChart {
  /**
   * @param {Detail} detail
   * @param {AbortSignal} signal
   */
  constructor(detail, signal) {
    this.detail = detail;
    this.signal = signal;
    this.frame = 0;
    this.asked = 0;
    /** @type {Course | null} */
    this.course = null;
    this.line = svg("path", { class: "course-line" });
    this.now = svg("line", { class: "course-now", y1: "0", y2: String(HEIGHT) });
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "Time course" });
    this.picture.append(this.now, this.line);
    this.high = el("span", { class: "course-high" });
    this.low = el("span", { class: "course-low" });
    this.end = el("span", { class: "course-end" });
    this.title = el("h3", {}, "Time course");
    this.element = el("section", { class: "course", "aria-label": "Time course under the crosshair" }, el("div", { class: "facet-head" }, this.title, this.end), el("div", { class: "course-plot" }, this.high, this.low, this.picture));
  }

  /**
   * Asks for the course of a voxel, once the crosshair rests.
   *
   * @param {number[]} voxel
   */
  async show(voxel) {
    this.asked += 1;
    const asked = this.asked;
    await new Promise((resolve) => setTimeout(resolve, WAIT));
    if (asked !== this.asked || this.signal.aborted) return;
    const [i, j, k] = voxel;
    try {
      /** @type {Course} */
      const course = await get(`api/items/${this.detail.item}/course?i=${i}&j=${j}&k=${k}`, this.signal);
      if (asked !== this.asked) return;
      this.course = course;
      this.#draw(voxel);
    } catch (error) {
      if (this.signal.aborted || asked !== this.asked) return;
      this.line.setAttribute("d", "");
      say(this.end, error instanceof Error ? error.message : "It could not be read");
    }
  }

  /** @param {number} frame */
  mark(frame) {
    this.frame = frame;
    const last = Math.max(1, (this.detail.volume?.frames ?? 1) - 1);
    const x = String((frame / last) * WIDTH);
    this.now.setAttribute("x1", x);
    this.now.setAttribute("x2", x);
  }

  /** @param {number[]} voxel */
  #draw(voxel) {
    const { course } = this;
    if (!course) return;
    const known = course.values.flatMap((one) => (one !== null && Number.isFinite(one) ? [one] : []));
    const low = known.reduce((least, one) => Math.min(least, one), Infinity);
    const high = known.reduce((most, one) => Math.max(most, one), -Infinity);
    const span = high - low || 1;
    const last = Math.max(1, course.values.length - 1);
    let pen = "M";
    let path = "";
    course.values.forEach((one, n) => {
      if (one === null || !Number.isFinite(one)) {
        pen = "M";
        return;
      }
      const y = HEIGHT - 6 - ((one - low) / span) * (HEIGHT - 12);
      path += `${pen}${((n / last) * WIDTH).toFixed(1)} ${y.toFixed(1)}`;
      pen = "L";
    });
    this.line.setAttribute("d", path);
    const unit = course.unit ? ` ${course.unit}` : "";
    say(this.high, known.length ? `${value(high)}${unit}` : "");
    say(this.low, known.length ? `${value(low)}${unit}` : "");
    const seconds = course.seconds_per_frame;
    say(this.end, `${count(course.total)} frames${seconds ? `, ${value(seconds * course.total)} s` : ""}`);
    this.picture.setAttribute("aria-label", `Time course of voxel ${voxel.join(", ")}: ${count(course.values.length)} values from ${value(low)} to ${value(high)}${unit}`);
    this.mark(this.frame);
  }
}
