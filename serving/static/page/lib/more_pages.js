// Further pages of a list whose first page is streamed.
import { get } from "./api.js";
import { useEffect, useState } from "./html.js";
import { rounds } from "./live.js";

const ITEMS = 500;
const AGAIN_MS = 10_000;

/**
 * {items, rest, loading, error, more, again}: the first page's items and those of the pages that
 * `more` called for, read again each ten seconds; `rest` is whether there are others. `key` names
 * an item: one that moved between two pages is listed once.
 */
export function useMore(path, first, key) {
  const [pages, setPages] = useState(0);
  const [found, setFound] = useState({ items: [], cursor: null, pages: 0, error: null });
  const round = pages ? rounds(AGAIN_MS).value : 0;
  const start = first?.next_cursor;
  const [tries, setTries] = useState(0);
  useEffect(() => {
    if (!pages || !start || document.hidden) return undefined;
    const abort = new AbortController();
    read(path, start, pages, abort.signal)
      .then((more) => setFound({ ...more, error: null }))
      .catch((error) => error.name !== "AbortError" && setFound((before) => ({ ...before, error })));
    return () => abort.abort();
  }, [path, pages, round, tries]);
  const listed = new Map([...(first?.items ?? []), ...(start ? found.items : [])].map((one) => [key(one), one]));
  return {
    items: [...listed.values()],
    rest: Boolean(start && (!found.pages || found.cursor)),
    loading: pages > found.pages && !found.error,
    error: found.error,
    more: () => setPages(found.pages + 1),
    again: () => setTries(tries + 1),
  };
}

async function read(path, start, pages, abort) {
  const items = [];
  let cursor = start;
  for (let count = 0; count < pages && cursor; count += 1) {
    const page = await get(path, { limit: ITEMS, cursor }, abort);
    items.push(...page.items);
    cursor = page.next_cursor;
  }
  return { items, cursor, pages };
}
