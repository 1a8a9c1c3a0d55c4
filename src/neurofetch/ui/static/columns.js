// The files of a catalogue as columns of numbers, and how many of them a choice has. Pure.
//
// One pass over the rows counts everything: a file that no facet rejects counts for all values that it
// has, and one that a single facet rejects counts for the values of that facet.

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
    const masks = this.facets.map((facet) => maskOf(facet, choice[facet.name]));
    const strict = masks.flatMap((mask, f) => (mask ? [f] : []));
    const counts = this.facets.map(({ values }) => ({
      files: new Uint32Array(values.length),
      bytes: new Float64Array(values.length),
    }));
    const states = [TO_FETCH, HERE, WITHHELD].map(() => ({ files: 0, bytes: 0 }));
    let found = 0;
    for (let row = 0; row < this.filled; row += 1) {
      if (this.passed && !this.passed[row]) continue;
      const rejecting = this.#rejecting(row, masks, strict);
      if (rejecting === SEVERAL) continue;
      const bytes = this.bytes[row] ?? 0;
      if (rejecting !== NONE) {
        this.#tally(counts, rejecting, row, bytes);
        continue;
      }
      for (let f = 0; f < counts.length; f += 1) this.#tally(counts, f, row, bytes);
      const state = states[this.state[row] ?? TO_FETCH];
      if (state) {
        state.files += 1;
        state.bytes += bytes;
      }
      this.found[found] = row;
      found += 1;
    }
    const bytes = states.reduce((sum, one) => sum + one.bytes, 0);
    return {
      all: { files: found, bytes },
      states,
      facets: new Map(this.facets.map(({ name }, f) => [name, /** @type {Counts} */ (counts[f])])),
      rows: this.found.subarray(0, found),
    };
  }

  /**
   * Returns the only facet that rejects a row, or NONE or SEVERAL.
   *
   * @param {number} row
   * @param {(Uint8Array | null)[]} masks
   * @param {number[]} strict The facets in which something is chosen.
   */
  #rejecting(row, masks, strict) {
    let rejecting = NONE;
    for (const f of strict) {
      const code = /** @type {Int32Array} */ (this.codes[f])[row] ?? -1;
      if (code >= 0 && /** @type {Uint8Array} */ (masks[f])[code]) continue;
      if (rejecting !== NONE) return SEVERAL;
      rejecting = f;
    }
    return rejecting;
  }

  /**
   * @param {Counts[]} counts
   * @param {number} f
   * @param {number} row
   * @param {number} bytes
   */
  #tally(counts, f, row, bytes) {
    const code = /** @type {Int32Array} */ (this.codes[f])[row] ?? -1;
    if (code < 0) return;
    const count = /** @type {Counts} */ (counts[f]);
    count.files[code] = (count.files[code] ?? 0) + 1;
    count.bytes[code] = (count.bytes[code] ?? 0) + bytes;
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
