// What charts and lists show: units, or revenue in one currency. The address has it as `in`.
import { Choice, chosen } from "./choice.js";
import { money, number, percent, short } from "./format.js";
import { html } from "./html.js";
import { staleSince } from "./live.js";
import { Trend } from "./parts.js";
import { place } from "./route.js";
import { t } from "./words.js";

const NONE = { gross: 0, reversed: 0, net: 0, reversals_booked: 0 };

/** Currencies of an answer, those of the most units first. */
export const currenciesOf = ({ units_by_currency: units, revenue }) =>
  Object.keys(revenue).sort(
    (one, other) => (units[other]?.gross ?? 0) - (units[one]?.gross ?? 0) || (one < other ? -1 : 1),
  );

const options = (currencies) => [["units", t("units.all")], ...currencies.map((one) => [one, one])];

export const measureOf = (currencies) => chosen(place.value.query, "in", options(currencies));

export const MeasureChoice = ({ currencies }) =>
  html`<${Choice} name="in" label=${t("measure")} value=${measureOf(currencies)} options=${options(currencies)} />`;

/** The sums of a row in a measure: {gross, reversed, net, reversals_booked}. */
export const sumsIn = (row, measure) =>
  (measure === "units" ? row.units : row.revenue[measure]) ?? NONE;

/** How a measure's values are written; on a scale, in short. */
export const written = (measure, compact = false) => (value) =>
  measure === "units" ? (compact ? short : number)(value) : money(value, measure, { compact });

/** Small amounts are written whole: in short, three digits of them would cut the minor unit. */
const isLong = (minor) => Math.abs(minor) >= 100_000;

/** This cycle against the last one at the same point, or nothing where that is not known. */
export function trendOf(samePoint, measure = "units") {
  if (!samePoint) return null;
  const at = (cycle) => (measure === "units" ? cycle.units : (cycle.revenue[measure] ?? 0));
  return {
    now: at(samePoint.this_cycle),
    before: at(samePoint.last_cycle),
    ...(measure === "units" ? {} : { text: (value) => money(value, measure, { compact: isLong(value), sign: true }) }),
  };
}

/** "4 % of what was sold". */
export const reversalNote = ({ gross, reversed }) =>
  t("reversed.note", { share: percent(gross ? reversed / gross : null) });

/** Net revenue of each currency, with its movement: currencies are never added up. */
export function Revenues({ answer }) {
  const currencies = currenciesOf(answer);
  return html`<div class=${staleSince.value ? "tile-like stale" : "tile-like"}>
    <span class="label">${t("revenue.net")}</span>
    ${currencies.length === 0 && html`<span class="value">–</span>`}
    <dl class="revenues">${currencies.map((currency) => {
      const trend = trendOf(answer.same_point, currency);
      return html`<div key=${currency}><dt>${currency}</dt>
        <dd><span class="amount">${money(answer.revenue[currency].net, currency)}</span>
          ${trend && html`<${Trend} ...${trend} />`}</dd></div>`;
    })}</dl>
  </div>`;
}
