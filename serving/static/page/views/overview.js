// The marketplace: what is sold in this cycle, how it moves, and what needs somebody.
import { Chart } from "../lib/chart.js";
import { cycleDays, hour, number, percent } from "../lib/format.js";
import { html, useEffect, useMemo } from "../lib/html.js";
import { follow, latest, rounds } from "../lib/live.js";
import { useAnswer } from "../lib/loading.js";
import { Cycles } from "../lib/cycles.js";
import { currenciesOf, MeasureChoice, measureOf, reversalNote, Revenues, trendOf } from "../lib/measure.js";
import { countMinutes, minutes } from "../lib/minutes.js";
import { FailedLine, Panel, State, Tile } from "../lib/parts.js";
import { Periods } from "../lib/periods.js";
import { streamed, Top } from "../lib/tops.js";
import { Waiting } from "../lib/waiting.js";
import { t } from "../lib/words.js";

const PROGRESS_AGAIN_MS = 30_000;
const SHOWN_MINUTES = 30;

export function Overview() {
  const answer = latest("marketplace").value;
  const currencies = answer ? currenciesOf(answer) : [];
  const measure = measureOf(currencies);
  const currency = measure === "units" ? currencies[0] : measure;
  const tops = ["product", "shop"].map((kind) => streamed(kind, currency)).filter(Boolean);
  useEffect(
    () => follow([["marketplace", ""], ["overdue", ""], ...tops.map((name) => ["top", name])]),
    [tops.join()],
  );
  useEffect(countMinutes, []);
  if (answer === undefined) return html`<${Waiting} />`;
  if (answer === null) {
    return html`<${State} kind="empty" title=${t("overview.none")} detail=${t("overview.none.detail")} />`;
  }
  return html`<div class="title"><h1>${t("view.overview")}</h1>
      <small>${t("cycle.of", { days: cycleDays(answer.cycle) })} · UTC</small>
      <span class="right"><${MeasureChoice} currencies=${currencies} /></span></div>
    <${Progress} key=${answer.cycle.start} />
    <${Tiles} answer=${answer} />
    <div class="grid">
      <${Periods} path="/marketplace" measure=${measure} />
      <${Minutes} />
      <${Cycles} path="/marketplace" measure=${measure} present=${answer} />
      <${Top} kind="product" currency=${currency} />
      <${Top} kind="shop" currency=${currency} />
    </div>`;
}

function Progress() {
  const { answer, error, again } = useAnswer("/cycles", { limit: 1 }, PROGRESS_AGAIN_MS);
  const current = answer?.current;
  if (error && !current) return html`<${FailedLine} error=${error} again=${again} />`;
  if (!current) return html`<div class="cycle-progress"><div class="progress" aria-hidden="true"></div></div>`;
  const hours = Math.floor(current.remaining_seconds / 3600);
  const text = t("cycle.progress", {
    share: percent(current.share, 0),
    days: number(Math.floor(hours / 24)),
    hours: number(hours % 24),
  });
  return html`<div class="cycle-progress"><div class="progress" role="progressbar" aria-label=${t("cycle")}
      aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(current.share * 100)} aria-valuetext=${text}>
      <i style=${{ width: `${current.share * 100}%` }}></i></div><span class="hint">${text}</span></div>`;
}

function Tiles({ answer }) {
  const { units, all_time: all } = answer;
  const overdue = latest("overdue").value;
  return html`<div class="tiles">
    <${Tile} label=${t("sold.cycle")} value=${number(units.net)} note=${t("sold.cycle.note")} trend=${trendOf(answer.same_point)} />
    <${Tile} label=${t("gross")} value=${number(units.gross)} note=${t("gross.note")} />
    <${Tile} label=${t("reversed")} value=${number(units.reversed)} note=${reversalNote(units)} />
    <${Tile} label=${t("traded")} value=${number(all.units.net)} note=${t("traded.note")} />
    <${Tile} label=${t("view.overdue")} value=${overdue ? number(overdue.count) : undefined} note=${t("overdue.note")} href="/overdue" />
    <${Revenues} answer=${answer} />
  </div>`;
}

/** Units a minute since this tab was opened: the reader keeps no minutes. */
function Minutes() {
  const { since, rows } = minutes.value;
  const last = rounds(60_000).value * 60;
  const times = useMemo(() => Array.from({ length: SHOWN_MINUTES }, (_, index) => last - 60 * (SHOWN_MINUTES - 1 - index)), [last]);
  const values = useMemo(() => {
    const counted = new Map(rows);
    return times.map((at) => counted.get(at) ?? (at * 1000 + 60_000 > since ? 0 : null));
  }, [times, rows]);
  return html`<${Panel} title=${t("minutes")} hint=${since ? t("minutes.since", { at: hour(new Date(since).toISOString()) }) : ""}>
    ${rows.length === 0
      ? html`<${State} kind="empty" title=${t("minutes.none")} />`
      : html`<${Chart} title=${t("minutes")} times=${times} step=${60} unit="minute"
          series=${[{ label: t("units.all"), values, colour: "--sold", bars: true }]} />`}
  <//>`;
}
