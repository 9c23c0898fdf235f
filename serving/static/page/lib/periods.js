// What was sold and refunded over time, by hour or by day.
import { Chart } from "./chart.js";
import { Choice, chosen } from "./choice.js";
import { viewersZone } from "./format.js";
import { html, useMemo } from "./html.js";
import { rounds } from "./live.js";
import { useAnswer } from "./loading.js";
import { sumsIn, written } from "./measure.js";
import { Loaded, Panel, State } from "./parts.js";
import { place } from "./route.js";
import { t } from "./words.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const RANGES = {
  "48h": { unit: "hour", step: HOUR_MS, steps: 48 },
  "7d": { unit: "hour", step: HOUR_MS, steps: 168 },
  "30d": { unit: "day", step: DAY_MS, steps: 30 },
  "90d": { unit: "day", step: DAY_MS, steps: 90 },
};
const AGAIN_MS = 10_000;

/** The range of the address as a chart of bars; `path` is the subject's, such as /marketplace. */
export function Periods({ path, measure }) {
  const options = Object.keys(RANGES).map((name) => [name, t(`range.${name}`)]);
  const range = chosen(place.value.query, "range", options);
  const { unit, step, steps } = RANGES[range];
  const end = (rounds(step).value + 1) * step;
  const from = new Date(end - steps * step).toISOString();
  const loaded = useAnswer(`${path}/${unit}s`, { from, to: new Date(end).toISOString() }, AGAIN_MS);
  const zone = unit === "day" ? "UTC" : viewersZone;
  return html`<${Panel} title=${t(`periods.${unit}`)} hint=${t("zone", { zone })} wide
    actions=${html`<${Choice} name="range" label=${t("range")} value=${range} options=${options} />`}>
    <${Loaded} ...${loaded}>${(answer) => html`<${Bars} answer=${answer} measure=${measure} range=${RANGES[range]} />`}<//>
  <//>`;
}

function Bars({ answer, measure, range: { unit, step } }) {
  const { times, sold, refunded } = useMemo(() => table(answer, measure, step), [answer, measure]);
  if (![...sold, ...refunded].some(Boolean)) {
    return html`<${State} kind="empty" title=${t("periods.none")} />`;
  }
  return html`<${Chart} title=${t(`periods.${unit}`)} times=${times} step=${step / 1000} unit=${unit}
    axis=${written(measure, true)} text=${written(measure)}
    series=${[
      { label: t("sold"), values: sold, colour: "--sold", bars: true },
      { label: t("refunded"), values: refunded, colour: "--booked", bars: true },
    ]} />`;
}

/** Every step of the answer's span: those in which nothing happened are no items of it. */
function table({ start, end, items }, measure, step) {
  const rows = new Map(items.map((one) => [Date.parse(one.start), sumsIn(one, measure)]));
  const times = [];
  for (let at = Date.parse(start); at < Date.parse(end); at += step) times.push(at / 1000);
  const values = (of) => times.map((at) => (rows.has(at * 1000) ? of(rows.get(at * 1000)) : 0));
  return {
    times,
    sold: values((sums) => sums.gross),
    refunded: values((sums) => -sums.reversals_booked),
  };
}
