// The bytes of a file that is drawn, fetched by the page itself: an error of the server keeps its own words.

import { request } from "./api.js";

/**
 * @param {string} address
 * @param {AbortSignal} signal
 * @param {(share: number) => void} heard Called with what is here of it.
 */
export async function bytesOf(address, signal, heard) {
  const response = await request(address, { signal });
  if (!response.body) throw new Error("the answer has no body");
  const total = Number(response.headers.get("Content-Length"));
  const chunks = [];
  let here = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value: chunk } = await reader.read();
    if (done) break;
    chunks.push(chunk);
    here += chunk.length;
    if (total) heard(here / total);
  }
  const buffer = await new Blob(chunks).arrayBuffer();
  return { buffer, name: response.headers.get("X-Neurofetch-Name") ?? "volume.nii" };
}
