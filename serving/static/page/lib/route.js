// Where the viewer is: the address says all that a view shows, so it can be shared.
import { signal } from "./html.js";

const KINDS = { products: "product", shops: "shop", orders: "order" };

/** The present place: {view, id, query}. */
export const place = signal(read());

function read() {
  const [, first = "", ...rest] = location.pathname.split("/");
  const query = Object.fromEntries(new URLSearchParams(location.search));
  if (KINDS[first] && rest.join("/")) {
    return { view: KINDS[first], id: decode(rest.join("/")), query };
  }
  return { view: first === "" ? "overview" : first, id: null, query };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a product, a shop or an order. */
export const addressOf = (kind, id) => `/${kind}s/${encodeURIComponent(id)}`;

export function go(address, { replace = false } = {}) {
  if (address === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  place.value = read();
  if (!replace) {
    scrollTo(0, 0);
    document.querySelector("main")?.focus({ preventScroll: true });
  }
}

/** Change parameters of the present address; null removes one. */
export function ask(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  go(location.pathname + (text ? `?${text}` : ""), { replace: true });
}

addEventListener("popstate", () => (place.value = read()));

addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || link.target || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const to = new URL(link.href);
  if (to.origin !== location.origin || !isOfThePage(to.pathname)) return;
  event.preventDefault();
  go(to.pathname + to.search);
});

const isOfThePage = (path) =>
  path === "/" || /^\/(products|shops|orders|operations|overdue|search)(\/|$)/.test(path);
