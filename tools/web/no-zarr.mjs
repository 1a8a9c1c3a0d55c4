// Takes the place of zarrita in the viewer. The server of the page cuts Zarr stores into NIfTI, so the
// 1.4 MB of decoders would only be carried along.

function missing() {
  throw new Error("Zarr stores are read by the server of the page, not in the browser.");
}

export class FetchStore {
  constructor() {
    missing();
  }
}
export const open = missing;
export const root = missing;
export const get = missing;
export const slice = missing;
