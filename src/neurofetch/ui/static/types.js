// The shapes of what the server says. Nothing runs here: the types are read by `tsc` and by editors.

/**
 * @typedef {{code: string, message: string, advice: string | null, exit_code?: number | null,
 *   text?: string | null}} Problem What went wrong, and what can be done.
 * @typedef {{command: string, python: string}} Say The command and the Python call that do the same.
 * @typedef {{directory: string, folder: string}} Place A folder of an opened directory.
 * @typedef {{directory: string, name: string, free: number | null, data_set: string | null,
 *   writable: boolean, folders: string[]}} Directory
 * @typedef {{kind: string, title: string, about: string, ready: boolean, why: string | null}} Source
 * @typedef {{name: string, title: string, values: string[]}} Facet
 * @typedef {{catalogue: string, state: "listing" | "ready" | "failed" | "stopped", title: string,
 *   source: {kind: string} & Record<string, unknown>, to: Place, place?: string, listed: number, files: number, bytes: number,
 *   files_here: number, bytes_here: number, files_withheld: number, say: Say | null,
 *   error: Problem | null, notes: string[], facets?: Facet[]}} Catalogue
 * @typedef {{from: number, total: number, paths: string[], bytes: (number | null)[],
 *   state: number[], codes: Record<string, number[]>}} Rows
 * @typedef {{files_done?: number, files_total?: number | null, bytes_done?: number, bytes_total?: number | null,
 *   rate?: number, retries?: number, files_listed?: number}} Progress
 * @typedef {{why: string, what: string, files_total: number, bytes_total: number, bytes_here: number,
 *   bytes_to_fetch: number}} Group Files of one kind that are in a plan for one reason.
 * @typedef {{path: string, reason: string, advice: string | null}} Failure
 * @typedef {"running" | "pausing" | "paused" | "done" | "failed" | "stopped"} JobState
 * @typedef {Record<string, unknown> & {files_total?: number, bytes_total?: number, files_to_fetch?: number,
 *   bytes_to_fetch?: number, files_here?: number, bytes_here?: number, files_withheld?: number, bytes_free?: number,
 *   files_partly_here?: number, files_archived?: number, files_not_kept?: number, root?: string,
 *   notes?: string[], counts?: Record<string, number>, bytes_moved?: number, seconds?: number}} Figures
 * @typedef {{job: string, kind: "plan" | "run", of: string | null, state: JobState, title: string,
 *   catalogue: string, to: Place, place?: string, say: Say, begun: string, ended: string | null,
 *   progress: Progress | null, last: string | null, plan: Figures | null, groups: Group[],
 *   free: number | null, report: Figures | null, failures: Failure[], error: Problem | null,
 *   notes: string[]}} Job
 * @typedef {{version: string, sources: Source[], directories: Directory[], catalogues: Catalogue[],
 *   jobs: Job[], viewer: {ready: boolean, why: string | null}}} Start
 * @typedef {Record<string, string[]>} Choice Chosen values of each facet, and `include` and `exclude`.
 * @typedef {"volume" | "table" | "surface" | "picture" | "text"} ItemKind
 * @typedef {{item: string, path: string, name: string, kind: ItemKind, bytes: number,
 *   entities: Record<string, string>, title: string, space: string | null, is_map: boolean,
 *   is_mask: boolean}} Item
 * @typedef {{shape: number[], frames: number, seconds_per_frame: number | null, unit: string | null,
 *   low: number, high: number, symmetric: boolean, colormap: string, colormap_negative: string | null,
 *   threshold: number | null, cal_min: number, cal_max: number, served_bytes: number,
 *   cut: string | null, step?: number, frames_at_once?: number}} Volume
 * @typedef {{is_mesh: boolean, vertices: number | null, meshes: Item[]}} Surface
 * @typedef {Item & {version: string, volume: Volume | null, surface?: Surface, overlays: Item[],
 *   data_set: string | null, say: Say}} Detail
 * @typedef {{values: (number | null)[], seconds_per_frame: number | null, unit: string | null,
 *   total: number}} Course
 * @typedef {{name: string, kind: "number" | "text", about: string | null}} Column
 * @typedef {{columns: Column[], rows: (string | number | null)[][], total: number}} Table
 */

export {};
