// Requests to the server that change something, and what their answers hold.
import { create } from "./dom.js";

export const NO_ANSWER = "The server does not answer. Nothing was changed.";

/**
 * Headers of every request that changes something, among them the token against forged requests.
 * @returns {Record<string, string>}
 */
export function requestHeaders() {
  return JSON.parse(document.body.getAttribute("hx-headers") ?? "{}");
}

/**
 * Posts values; the answer says by its headers which notice to show. The request is sent from an element of its own: a
 * live list may replace the row that it is about, and htmx sends nothing for an element that has left the page; and of
 * several requests of one element at a time, htmx sends only the first and the last.
 * @param {string} path
 * @param {Record<string, string>} values
 * @returns {Promise<void>}
 */
export async function post(path, values) {
  const source = document.body.appendChild(create("i"));
  await htmx.ajax("POST", path, { source, swap: "none", values }).catch(() => {}); // app.js shows what failed
  source.remove();
}

/**
 * A part of a page as HTML; null where the server does not answer or refuses.
 * @param {string} address
 * @param {Record<string, string>} [headers]
 * @returns {Promise<string | null>}
 */
export async function fetchFragment(address, headers = {}) {
  const response = await fetch(address, { headers }).catch(() => null);
  return response?.ok ? response.text() : null;
}

/**
 * Posts values as `post` does, for scripts that need the answer.
 * @param {string} path
 * @param {string[][] | Record<string, string>} values
 * @returns {Promise<{ isDone: boolean, problem: string, notice: Notice | undefined }>} problem: "" where there is none
 */
export async function postForAnswer(path, values) {
  const headers = { ...requestHeaders(), "HX-Request": "true" };
  const body = new URLSearchParams(values);
  const response = await fetch(path, { method: "POST", headers, body }).catch(() => null);
  if (!response) return { isDone: false, problem: NO_ANSWER, notice: undefined };
  const { notice } = parseJson(response.headers.get("HX-Trigger") ?? "{}");
  return { isDone: response.ok, problem: response.ok ? "" : await response.text(), notice };
}

/**
 * The object in a JSON text; an empty one where the text is not JSON.
 * @param {string} text
 * @returns {any}
 */
export function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
