// The files of a catalogue as columns of numbers, and how many of them a choice has. Pure.
//
// A count next to a value says what choosing it would leave, with the other facets as they are: a file that
// no facet rejects counts for all its values, and one that a single facet rejects for the values of that one.
// Each column is gone through by itself, which is what makes it fast.

/** @import { Choice, Facet, Rows } from "./types.js" */

export const TO_FETCH = 0;
export const HERE = 1;
export const WITHHELD = 2;

/**
 * @typedef {{files: number, bytes: number}} Count
 * @typedef {{files: Uint32Array, bytes: Float64Array}} Counts Of the values of a facet.
 * @typedef {{all: Count, states: Count[], facets: Map<string, Counts>, rows: Uint32Array}} Found
 *   `states` by `TO_FETCH`, `HERE`, `WITHHELD`; `rows` are the numbers of the files.
 */

export class Columns {
  /**
   * @param {Facet[]} facets
   * @param {number} total Number of files.
   */
  constructor(facets, total) {
    this.facets = facets;
    this.total = total;
    this.filled = 0;
    /** @type {string[]} */
    this.paths = new Array(total);
    this.bytes = new Float64Array(total);
    this.state = new Uint8Array(total);
    this.codes = facets.map(() => new Int32Array(total).fill(-1));
    /** Which rows the globs let through; null for all. @type {Uint8Array | null} */
    this.passed = null;
    this.found = new Uint32Array(total);
    this.rejecting = new Int16Array(total);
  }

  /**
   * Takes in a page of rows.
   *
   * @param {Rows} page
   */
  add(page) {
    const { from } = page;
    const length = Math.min(page.paths.length, this.total - from);
    for (let n = 0; n < length; n += 1) {
      this.paths[from + n] = page.paths[n] ?? "";
      this.bytes[from + n] = page.bytes[n] ?? 0;
      this.state[from + n] = page.state[n] ?? TO_FETCH;
    }
    this.facets.forEach((facet, f) => {
      const codes = page.codes[facet.name];
      const column = this.codes[f];
      if (codes && column) column.set(codes.slice(0, length), from);
    });
    this.filled = Math.max(this.filled, from + length);
  }

  /**
   * Narrows the rows by tests of their paths.
   *
   * @param {((path: string) => boolean) | null} include
   * @param {((path: string) => boolean) | null} exclude
   */
  pass(include, exclude) {
    if (!include && !exclude) {
      this.passed = null;
      return;
    }
    this.passed = new Uint8Array(this.total);
    for (let row = 0; row < this.filled; row += 1) {
      const path = this.paths[row] ?? "";
      this.passed[row] = (!include || include(path)) && !exclude?.(path) ? 1 : 0;
    }
  }

  /**
   * Counts the files of a choice.
   *
   * @param {Choice} choice
   * @returns {Found}
   */
  count(choice) {
    this.#reject(this.facets.map((facet) => maskOf(facet, choice[facet.name])));
    const facets = new Map(this.facets.map((facet, f) => [facet.name, this.#tally(facet, f)]));
    const states = [TO_FETCH, HERE, WITHHELD].map(() => ({ files: 0, bytes: 0 }));
    let found = 0;
    for (let row = 0; row < this.filled; row += 1) {
      if (this.rejecting[row] !== NONE) continue;
      const state = /** @type {Count} */ (states[this.state[row] ?? TO_FETCH]);
      state.files += 1;
      state.bytes += this.bytes[row] ?? 0;
      this.found[found] = row;
      found += 1;
    }
    const bytes = states.reduce((sum, one) => sum + one.bytes, 0);
    return { all: { files: found, bytes }, states, facets, rows: this.found.subarray(0, found) };
  }

  /**
   * Finds out for each row which facet rejects it: NONE, its number, or SEVERAL.
   *
   * @param {(Uint8Array | null)[]} masks
   */
  #reject(masks) {
    const { rejecting, passed, filled } = this;
    rejecting.fill(NONE);
    if (passed) for (let row = 0; row < filled; row += 1) if (!passed[row]) rejecting[row] = SEVERAL;
    masks.forEach((mask, f) => {
      if (!mask) return;
      const codes = /** @type {Int32Array} */ (this.codes[f]);
      for (let row = 0; row < filled; row += 1) {
        if (mask[codes[row] ?? -1]) continue; // a file without the entity has the code -1, and is rejected
        rejecting[row] = rejecting[row] === NONE ? f : SEVERAL;
      }
    });
  }

  /**
   * Counts the values of a facet in the rows that no other facet rejects.
   *
   * @param {Facet} facet
   * @param {number} f
   * @returns {Counts}
   */
  #tally({ values }, f) {
    const { rejecting, bytes, filled } = this;
    const codes = /** @type {Int32Array} */ (this.codes[f]);
    const counts = { files: new Uint32Array(values.length), bytes: new Float64Array(values.length) };
    for (let row = 0; row < filled; row += 1) {
      const code = codes[row] ?? -1;
      const by = rejecting[row];
      if (code < 0 || (by !== NONE && by !== f)) continue;
      counts.files[code] = (counts.files[code] ?? 0) + 1;
      counts.bytes[code] = (counts.bytes[code] ?? 0) + (bytes[row] ?? 0);
    }
    return counts;
  }
}

const NONE = -1;
const SEVERAL = -2;

/**
 * @param {Facet} facet
 * @param {string[] | undefined} chosen
 */
function maskOf(facet, chosen) {
  if (!chosen?.length) return null;
  const wanted = new Set(chosen);
  return Uint8Array.from(facet.values, (value) => (wanted.has(value) ? 1 : 0));
}
