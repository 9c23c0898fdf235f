// A product: its sales, what came back and why, its journal as it grows, and its badge.
import { pathOf } from "../lib/api.js";
import { cycleDays, number, percent } from "../lib/format.js";
import { Cycles } from "../lib/cycles.js";
import { html, useEffect } from "../lib/html.js";
import { follow, latest } from "../lib/live.js";
import { currenciesOf, MeasureChoice, measureOf, reversalNote, Revenues, trendOf } from "../lib/measure.js";
import { Picture, State, Tile } from "../lib/parts.js";
import { Periods } from "../lib/periods.js";
import { Badge } from "../lib/badge.js";
import { Journal, useJournal } from "../lib/journal.js";
import { Largest, Reasons } from "../lib/product_parts.js";
import { Waiting } from "../lib/waiting.js";
import { t } from "../lib/words.js";

export function Product({ id }) {
  const answer = latest(`product ${id}`).value;
  const { add, ...journal } = useJournal(id, Boolean(answer));
  useEffect(() => follow([["product", id], ["entries", id]], add), [id]);
  if (answer === undefined) return html`<${Waiting} />`;
  if (answer === null) {
    return html`<${State} kind="empty" title=${t("error.unknown")} detail=${t("product.unknown", { id })} />`;
  }
  const currencies = currenciesOf(answer);
  const measure = measureOf(currencies);
  const path = pathOf("product", id);
  return html`<div class="title">
      ${answer.picture && html`<${Picture} of=${answer.picture} large />`}
      <h1>${answer.name ?? id}</h1><small>${answer.name ? `${id} · ` : ""}${t("cycle.of", { days: cycleDays(answer.cycle) })} · UTC</small>
      <span class="right"><${MeasureChoice} currencies=${currencies} /></span></div>
    <${Tiles} answer=${answer} />
    <div class="grid">
      <${Periods} path=${path} measure=${measure} />
      <${Cycles} path=${path} measure=${measure} present=${answer} />
      <${Reasons} service=${answer.service} note=${t("reasons.of_product")} />
      <${Journal} ...${journal} />
      <${Largest} path=${path} />
      <${Badge} id=${id} path=${path} sold=${answer.sold_monthly} traded=${answer.successfully_traded} />
    </div>`;
}

function Tiles({ answer }) {
  const { units, service } = answer;
  const { count, good_share: good } = service.reviews;
  return html`<div class="tiles">
    <${Tile} label=${t("sold.monthly")} value=${number(answer.sold_monthly)} note=${t("sold.cycle.note")} trend=${trendOf(answer.same_point)} />
    <${Tile} label=${t("traded")} value=${number(answer.successfully_traded)} note=${t("traded.note")} />
    <${Tile} label=${t("gross")} value=${number(units.gross)} note=${t("gross.note")} />
    <${Tile} label=${t("reversed")} value=${number(units.reversed)} note=${reversalNote(units)} />
    <${Tile} label=${t("reviews.good")} value=${percent(good)} note=${t("reviews.note", { count: number(count) })} />
    <${Revenues} answer=${answer} />
  </div>`;
}
