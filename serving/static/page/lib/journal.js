// A product's journal as it grows: the newest entry on top.
import { get, pathOf } from "./api.js";
import { day, money, number, signed } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { Ago, FailedLine, Panel, Rows, State } from "./parts.js";
import { addressOf } from "./route.js";
import { t, word } from "./words.js";

const SHOWN = 30;

/**
 * {entries, error, again, add}: the newest entries of a product, once it is known; why the earlier
 * ones are not there, and what reads them again; what adds one of the stream.
 */
export function useJournal(id, isKnown) {
  const [entries, setEntries] = useState([]);
  const [error, setError] = useState(null);
  const [round, setRound] = useState(0);
  const add = useRef(null);
  add.current = (entry) => setEntries((before) => merged([entry], before));
  useEffect(() => {
    if (!isKnown) return undefined;
    const abort = new AbortController();
    setEntries([]);
    setError(null);
    get(`${pathOf("product", id)}/journal`, { newest: true, limit: SHOWN }, abort.signal)
      .then(({ items }) => setEntries((streamed) => merged(streamed, items)))
      .catch((failed) => failed.name !== "AbortError" && setError(failed));
    return () => abort.abort();
  }, [id, isKnown, round]);
  return { entries, error, again: () => setRound(round + 1), add: (entry) => add.current(entry) };
}

function merged(newer, older) {
  const ids = new Set(newer.map(({ id }) => id));
  return [...newer, ...older.filter(({ id }) => !ids.has(id))].slice(0, SHOWN);
}

export const Journal = ({ entries, error, again }) =>
  html`<${Panel} title=${t("journal")} hint=${t("journal.hint")} wide>
    ${error && html`<${FailedLine} error=${error} again=${again} />`}
    ${entries.length === 0
      ? !error && html`<${State} kind="empty" title=${t("journal.none")} />`
      : html`<div class="log"><${Rows} caption=${t("journal")} columns=${[
          [t("when"), ""], [t("event"), ""], [t("order"), ""], [t("units.all"), "n"], [t("amount"), "n"],
          [t("reversed.by_refund"), "n"], [t("cycle"), ""],
        ]}>${entries.map((entry) => html`<${Entry} key=${entry.id} entry=${entry} />`)}<//></div>`}
  <//>`;

function Entry({ entry }) {
  const units = (entry.units_gross ?? 0) - (entry.units_reversed ?? 0);
  const amount = (entry.amount_gross ?? 0) - (entry.amount_reversed ?? 0);
  return html`<tr class="fresh">
    <td><${Ago} iso=${entry.occurred_at} /></td><td>${word("event", entry.event_type)}</td>
    <td>${entry.order_id && html`<a href=${addressOf("order", entry.order_id)}>${entry.order_id}</a>`}</td>
    <td class="n ${units < 0 ? "minus" : ""}">${units ? signed(units) : ""}</td>
    <td class="n ${amount < 0 ? "minus" : ""}">${amount ? money(amount, entry.currency, { sign: true }) : ""}</td>
    <td class="n">${entry.units_booked ? number(entry.units_booked) : ""}</td>
    <td>${t("cycle.from", { day: day(entry.cycle, { utc: true }) })}
      ${entry.restates && html` <span class="pill warn" title=${t("restatements.title")}>↻ ${t("restates")}</span>`}</td></tr>`;
}
