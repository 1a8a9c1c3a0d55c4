// How the page talks to its server. Addresses are relative: the page may lie below a proxy's path.

import { KEY } from "./key.js";

/** @import { Problem } from "./types.js" */

/** What the server answered instead of what was asked for. */
export class ApiError extends Error {
  /**
   * @param {number} status The HTTP status; 0 where no answer came.
   * @param {Problem} problem
   */
  constructor(status, problem) {
    super(problem.message);
    this.status = status;
    this.problem = problem;
  }
}

const AWAY = {
  code: "away",
  message: "The program behind this page does not answer. Nothing was changed.",
  advice: "See whether neurofetch ui still runs in its terminal. The page tries again by itself.",
};

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
async function problemOf(response) {
  try {
    return (await response.json()).error;
  } catch {
    const message = `The program behind this page answered ${response.status} without a reason.`;
    return { code: "internal", message, advice: "Its log in the terminal may say more." };
  }
}

/**
 * Asks the server; what it says instead of an answer is thrown.
 *
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export async function request(path, options) {
  let response;
  try {
    const headers = { ...KEY, ...options?.headers };
    response = await fetch(path, { credentials: "same-origin", ...options, headers });
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new ApiError(0, AWAY);
  }
  if (!response.ok) throw new ApiError(response.status, await problemOf(response));
  return response;
}

/**
 * Gets a value.
 *
 * @template T
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function get(path, signal) {
  return (await request(path, { signal: signal ?? null })).json();
}

/**
 * Asks the server to do something.
 *
 * @template T
 * @param {string} path
 * @param {Record<string, unknown>} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function post(path, body = {}, signal) {
  const headers = { "Content-Type": "application/json", "X-Neurofetch": "1" };
  const options = { method: "POST", headers, body: JSON.stringify(body), signal: signal ?? null };
  return (await request(path, options)).json();
}

/**
 * Returns a problem that can be shown, whatever was thrown.
 *
 * @param {unknown} error
 * @returns {Problem}
 */
export function asProblem(error) {
  if (error instanceof ApiError) return error.problem;
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: "page",
    message: `The page could not do this: ${message}`,
    advice: "Reload the page. If it happens again, please report it.",
  };
}
