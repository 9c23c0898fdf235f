// Cycles as bars: what was sold, what of it was reversed, and what was refunded in the cycle.
import { cycleDays, day, number } from "./format.js";
import { html } from "./html.js";
import { useAnswer } from "./loading.js";
import { sumsIn, written } from "./measure.js";
import { Loaded, Panel, Rows } from "./parts.js";
import { t } from "./words.js";

const SHOWN = 12;
const AGAIN_MS = 10_000;

/** The last cycles of a subject, such as /marketplace; `present` is its streamed state. */
export function Cycles({ path, measure, present }) {
  const loaded = useAnswer(`${path}/cycles`, { last: SHOWN }, AGAIN_MS);
  return html`<${Panel} title=${t("cycles")} hint=${t("zone", { zone: "UTC" })}>
    <${Loaded} ...${loaded}>${({ items }) => html`<${Bars} items=${items.map(withPresent(present))} measure=${measure} />`}<//>
  <//>`;
}

/** The cycle that is streamed has its streamed sums, as the tiles have. */
const withPresent = ({ cycle, units, revenue }) => (item) =>
  item.cycle.start === cycle.start ? { ...item, units, revenue } : item;

const KINDS = [["net", "net"], ["reversed", "reversed.by_sale"], ["booked", "reversed.by_refund"]];

function Bars({ items, measure }) {
  const first = Math.max(0, items.findIndex(({ units, current }) => units.gross || units.reversals_booked || current));
  const rows = items.slice(first).map((item) => ({ ...item, sums: sumsIn(item, measure) }));
  const most = Math.max(1, ...rows.map(({ sums }) => Math.max(sums.gross, sums.reversals_booked)));
  return html`<div class="cycles" aria-hidden="true">
      ${rows.map((row) => html`<${Bar} key=${row.cycle.start} row=${row} most=${most} measure=${measure} />`)}
    </div>
    <p class="keys" aria-hidden="true">${KINDS.map(([kind, name]) => html`<span class="key ${kind}">${t(name)}</span>`)}</p>
    <details><summary>${t("numbers")}</summary><${Table} rows=${rows} measure=${measure} /></details>`;
}

function Bar({ row: { cycle, current, restatements, sums }, most, measure }) {
  const height = (value) => ({ height: `${(100 * Math.max(0, value)) / most}%` });
  return html`<div class=${current ? "cycle current" : "cycle"}
    title="${cycleDays(cycle)}: ${written(measure)(sums.net)}">
    <span class="sum">${written(measure, true)(sums.net)}</span>
    <div class="columns">
      <div class="column"><i class="reversed" style=${height(sums.reversed)}></i><i class="net" style=${height(sums.net)}></i></div>
      <div class="column thin"><i class="booked" style=${height(sums.reversals_booked)}></i></div>
    </div>
    <span class="from">${day(cycle.start, { utc: true })}</span>
    <span class="restated" title=${t("restatements.title")}>${restatements ? `↻ ${number(restatements)}` : current ? t("current") : ""}</span>
  </div>`;
}

function Table({ rows, measure }) {
  const text = written(measure);
  return html`<${Rows} caption=${t("cycles")} columns=${[
    [t("cycle"), ""], [t("gross"), "n"], [t("reversed.by_sale"), "n"], [t("net"), "n"],
    [t("reversed.by_refund"), "n"], [t("restatements"), "n"],
  ]}>${[...rows].reverse().map(({ cycle, current, restatements, sums }) => html`<tr key=${cycle.start}>
    <td>${cycleDays(cycle)} ${current && html`<span class="pill good">${t("current")}</span>`}</td>
    <td class="n">${text(sums.gross)}</td><td class="n">${text(sums.reversed)}</td>
    <td class="n">${text(sums.net)}</td><td class="n">${text(sums.reversals_booked)}</td>
    <td class="n">${number(restatements)}</td></tr>`)}<//>`;
}
