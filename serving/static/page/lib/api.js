// Answers of the reader. A token, where the reader wants one, stands in this tab's session only.
import { signal } from "./html.js";

const KEY = "netsold.token";

/** "needed" while the reader wants a token that the page does not have, "refused" where it does not know that one; else "". */
export const signIn = signal("");

export const token = () => sessionStorage.getItem(KEY) ?? "";

export function setToken(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
  signIn.value = value ? "" : "needed";
}

export const authorization = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

/** A problem (RFC 9457), or no answer at all (status 0). */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title);
    Object.assign(this, { status, title, detail });
  }
}

/** The answer to GET of an address below /v1. Throws Problem. */
export async function get(path, parameters = {}, abort) {
  return body(await fetched(path, parameters, abort));
}

/** The same of an answer that is text. */
export async function getText(path, parameters = {}, abort) {
  const response = await fetched(path, parameters, abort);
  return response.ok ? response.text() : body(response);
}

async function fetched(path, parameters, abort) {
  const address = new URL(`/v1${path}`, location.origin);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") address.searchParams.set(name, value);
  }
  try {
    return await fetch(address, { headers: authorization(), signal: abort });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "no answer", "");
  }
}

export async function body(response) {
  if (response.status === 401) signIn.value = token() ? "refused" : "needed";
  const found = await response.json().catch(() => null);
  if (found && (response.ok || found.findings)) return found; // health is a 503 with its findings
  throw new Problem(response.status, found?.title ?? response.statusText, found?.detail ?? "");
}

/** The path of an id below /v1. */
export const pathOf = (kind, id) => `/${kind}s/${encodeURIComponent(id)}`;
