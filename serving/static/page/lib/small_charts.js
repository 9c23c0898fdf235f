// Units of the last days, for the rows of lists: fetched once, and again after some minutes.
import { get, pathOf } from "./api.js";
import { html, signal, useEffect } from "./html.js";
import { rounds } from "./live.js";
import { Spark } from "./parts.js";
import { t } from "./words.js";

const DAYS = 14;
const DAY_MS = 86_400_000;
const AGAIN_MS = 300_000;
const FAILED_AGAIN_MS = 15_000;
const MOST = 200; // rows that are kept

const known = new Map();

/** A row's {values, failed, at}: its net units by day, oldest first, null before the answer. */
function unitsOf(kind, id) {
  const key = `${kind} ${id}`;
  if (!known.has(key)) {
    if (known.size >= MOST) known.delete(known.keys().next().value);
    known.set(key, { values: signal(null), failed: signal(""), at: 0 });
  }
  return known.get(key);
}

async function refresh(kind, id) {
  const row = unitsOf(kind, id);
  if (Date.now() - row.at < AGAIN_MS) return;
  row.at = Date.now();
  const first = Math.floor(Date.now() / DAY_MS) * DAY_MS - (DAYS - 1) * DAY_MS;
  try {
    const [from, to] = [0, DAYS].map((days) => new Date(first + days * DAY_MS).toISOString());
    const { items } = await get(`${pathOf(kind, id)}/days`, { from, to });
    const values = new Array(DAYS).fill(0);
    for (const { start, units } of items) values[(Date.parse(start) - first) / DAY_MS] = units.net;
    row.values.value = values.slice(0, DAYS);
    row.failed.value = "";
  } catch (error) {
    row.at = Date.now() - AGAIN_MS + FAILED_AGAIN_MS;
    row.failed.value = error.detail || t("error.no_answer");
  }
}

export function SmallChart({ kind, id }) {
  const round = rounds(FAILED_AGAIN_MS).value;
  useEffect(() => void refresh(kind, id), [kind, id, round]);
  const { values, failed } = unitsOf(kind, id);
  return values.value
    ? html`<${Spark} values=${values.value} label=${t("last_days", { days: DAYS, units: values.value.join(", ") })} />`
    : failed.value
      ? html`<span class="pill warn" title=${failed.value}>${t("error.part")}</span>`
      : html`<span class="spark" aria-hidden="true"></span>`;
}
