// The search: results as one types, by keyboard, as the combobox pattern of WAI-ARIA has it.
import { get } from "./api.js";
import { number } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { addressOf, ask, go, place } from "./route.js";
import { t } from "./words.js";

const PAUSE_MS = 120;
const IN_HEAD = 8;
const IN_VIEW = 50; // the most that the reader gives
const NOTHING = { text: "", items: [], complete: true, error: null };

/** What begins with a text, once nobody has typed for a moment: {text, items, complete, error}. */
function useFound(text, limit) {
  const [found, setFound] = useState(NOTHING);
  useEffect(() => {
    if (!text) return setFound(NOTHING);
    const abort = new AbortController();
    const timer = setTimeout(() => {
      get("/search", { q: text, limit }, abort.signal)
        .then(({ items, complete }) => setFound({ text, items, complete, error: null }))
        .catch((error) => error.name !== "AbortError" && setFound({ ...NOTHING, text, error }));
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text, limit]);
  return found;
}

/** `/` and Ctrl-K lead to the field. */
function useShortcut(field) {
  useEffect(() => {
    const pressed = (event) => {
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      if ((event.key === "/" && !typing) || (event.key === "k" && (event.metaKey || event.ctrlKey))) {
        event.preventDefault();
        field.current.focus();
        field.current.select();
      }
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

/** In the head the results are a list under the field; `inView`: they are the view. */
export function SearchBox({ inView = false }) {
  const field = useRef(null);
  const [text, setText] = useState(place.value.query.q ?? "");
  const [open, setOpen] = useState(inView);
  const [active, setActive] = useState(-1);
  const found = useFound(open ? text.trim() : "", inView ? IN_VIEW : IN_HEAD);
  useShortcut(field);
  useEffect(() => {
    if (inView) field.current.focus();
  }, []);
  useEffect(() => setActive(-1), [found]);
  const leave = (address) => {
    setOpen(inView);
    if (!inView) setText("");
    go(address);
  };
  const type = ({ target }) => {
    setText(target.value);
    setOpen(true);
    if (inView) ask({ q: target.value.trim() });
  };
  const submit = (event) => {
    event.preventDefault();
    const { items, complete } = found;
    const isOnly = complete && items.length === 1;
    const chosen = items[active] ?? (inView || isOnly || items[0]?.id === text.trim() ? items[0] : null);
    if (chosen && found.text === text.trim()) leave(addressOf(chosen.kind, chosen.id));
    else if (text.trim() && !inView) leave(`/search?q=${encodeURIComponent(text.trim())}`);
  };
  const press = (event) => {
    if (event.key === "Escape" && !inView) setOpen(false);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || found.items.length === 0) return;
    event.preventDefault();
    const places = found.items.length + 1; // one is the field
    setActive(((active + 1 + step + places) % places) - 1);
  };
  const list = inView ? "found" : "found-in-head";
  const shown = open && text.trim() !== "" && found.text !== "";
  return html`<form class=${inView ? "search whole" : "search"} role="search" onSubmit=${submit}>
    <input ref=${field} type="search" role="combobox" placeholder=${t("search.placeholder")} maxlength="200"
      aria-label=${t("view.search")} aria-autocomplete="list" aria-controls=${shown ? list : undefined}
      aria-expanded=${String(shown)} aria-activedescendant=${shown && active >= 0 ? `${list}-${active}` : undefined}
      value=${text} autocomplete="off" spellcheck=${false} onInput=${type} onKeyDown=${press}
      onFocus=${() => setOpen(true)} onBlur=${() => setOpen(inView)} />
    ${!inView && html`<kbd aria-hidden="true">/</kbd>`}
    ${shown && html`<${Found} list=${list} found=${found} active=${active} leave=${leave} />`}
    ${inView && text.trim() === "" && html`<p class="hint">${t("search.what")}</p>`}
  </form>`;
}

function Found({ list, found, active, leave }) {
  const chosen = useRef(null);
  useEffect(() => chosen.current?.scrollIntoView({ block: "nearest" }), [active]);
  const { items, error, complete, text } = found;
  return html`<div class="found" onMouseDown=${(event) => event.preventDefault()}>
    <div id=${list} role="listbox" aria-label=${t("search.results")}>
      ${items.map((one, at) => html`<a key=${`${one.kind} ${one.id}`} id=${`${list}-${at}`} role="option" tabindex="-1"
        ref=${at === active ? chosen : undefined} aria-selected=${String(at === active)} href=${addressOf(one.kind, one.id)}
        onClick=${(event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey) return;
          event.preventDefault();
          leave(addressOf(one.kind, one.id));
        }}>
        <span class="pill">${t(`view.${one.kind}`)}</span>
        <span class="name">${one.name ?? one.id}</span>${one.name && html`<small>${one.id}</small>`}
        ${one.units !== null && html`<span class="units">${t("units", { units: number(one.units) })}</span>`}</a>`)}
    </div>
    <p class="hint" role="status">${error
      ? error.detail || t("error.no_answer")
      : items.length === 0
        ? `${t("search.none", { text })} ${t("search.what")}`
        : complete
          ? ""
          : t("search.more")}</p>
  </div>`;
}
