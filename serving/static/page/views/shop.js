// A shop: what it sells beside how it serves.
import { pathOf } from "../lib/api.js";
import { Cycles } from "../lib/cycles.js";
import { cycleDays, duration, number, percent } from "../lib/format.js";
import { html, useEffect } from "../lib/html.js";
import { follow, latest } from "../lib/live.js";
import { currenciesOf, MeasureChoice, measureOf, reversalNote, Revenues, trendOf } from "../lib/measure.js";
import { OverdueList } from "../lib/overdue_list.js";
import { Panel, Picture, State, Tile } from "../lib/parts.js";
import { Periods } from "../lib/periods.js";
import { Reasons } from "../lib/product_parts.js";
import { ServiceByCycle, ShopProducts } from "../lib/shop_parts.js";
import { Waiting } from "../lib/waiting.js";
import { t } from "../lib/words.js";

export function Shop({ id }) {
  const answer = latest(`shop ${id}`).value;
  const overdue = latest(`overdue ${id}`).value;
  useEffect(() => follow([["shop", id], ["overdue", id]]), [id]);
  if (answer === undefined) return html`<${Waiting} />`;
  if (answer === null) {
    return html`<${State} kind="empty" title=${t("error.unknown")} detail=${t("shop.unknown", { id })} />`;
  }
  const currencies = currenciesOf(answer);
  const measure = measureOf(currencies);
  const path = pathOf("shop", id);
  const { reviews, after_sales: cases } = answer.service;
  return html`<div class="title">
      ${answer.picture && html`<${Picture} of=${answer.picture} large />`}
      <h1>${answer.name ?? id}</h1><small>${answer.name ? `${id} · ` : ""}${t("cycle.of", { days: cycleDays(answer.cycle) })} · UTC</small>
      <span class="right"><${MeasureChoice} currencies=${currencies} /></span></div>
    <${Sales} answer=${answer} />
    <${Service} service=${answer.service} waiting=${overdue?.count} />
    <div class="grid two">
      <${Cycles} path=${path} measure=${measure} present=${answer} />
      <${ServiceByCycle} path=${path} present=${answer} />
      <${Panel} double title=${t("overdue.longest")} hint=${t("overdue.order")}>
        ${overdue ? html`<div class="log"><${OverdueList} path=${`${path}/overdue`} first=${overdue} ofShop /></div>` : html`<${Waiting} />`}
      <//>
      <${Reasons} service=${{ reviews, ...cases }} />
      <${ShopProducts} path=${path} />
      <${Periods} path=${path} measure=${measure} />
    </div>`;
}

const Sales = ({ answer }) => html`<div class="tiles">
  <${Tile} label=${t("sold.monthly")} value=${number(answer.sold_monthly)} note=${t("sold.cycle.note")} trend=${trendOf(answer.same_point)} />
  <${Tile} label=${t("traded")} value=${number(answer.successfully_traded)} note=${t("traded.note")} />
  <${Tile} label=${t("gross")} value=${number(answer.units.gross)} note=${t("gross.note")} />
  <${Tile} label=${t("reversed")} value=${number(answer.units.reversed)} note=${reversalNote(answer.units)} />
  <${Revenues} answer=${answer} />
</div>`;

/** `waiting`: inquiries that are overdue now, of any cycle. */
function Service({ service: { inquiries, reviews, buyers, proactive_contact: first }, waiting }) {
  const of = (count) => t("of", { count: number(count) });
  const reply = (share) => (inquiries.reply_ms ? duration(inquiries.reply_ms[share]) : "–");
  return html`<div class="tiles">
    <${Tile} label=${t("by.response-rate")} value=${percent(inquiries.response_rate)} note=${t("inquiries.note", { count: number(inquiries.counted) })} />
    <${Tile} label=${t("reply.p50")} value=${reply("p50")} note=${t("reply.p50.note")} />
    <${Tile} label=${t("reply.p90")} value=${reply("p90")} note=${t("reply.p90.note")} />
    <${Tile} label=${t("view.overdue")} value=${waiting === undefined ? null : number(waiting)} note=${t("overdue.note")} />
    <${Tile} label=${t("reviews.good")} value=${percent(reviews.good_share)} note=${t("reviews.note", { count: number(reviews.count) })} />
    <${Tile} label=${t("buyers")} value=${number(buyers.count)} note=${t("buyers.repeat", { count: number(buyers.repeat), share: percent(buyers.repeat_share) })} />
    <${Tile} label=${t("contact.first")} value=${percent(first.share)} note=${of(first.occasions)} />
  </div>`;
}
