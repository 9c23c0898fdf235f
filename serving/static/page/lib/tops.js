// The best products or shops, ranked as the address says.
import { Choice, chosen } from "./choice.js";
import { number, percent } from "./format.js";
import { html } from "./html.js";
import { latest } from "./live.js";
import { useAnswer } from "./loading.js";
import { sumsIn, trendOf, written } from "./measure.js";
import { Loaded, Panel, Rows, State, Subject, Trend } from "./parts.js";
import { addressOf, place } from "./route.js";
import { SmallChart } from "./small_charts.js";
import { t } from "./words.js";

const ROWS = 10;
const GROWTH_AGAIN_MS = 15_000; // growth is not streamed: it needs a walk
const RANKED_BY = {
  product: ["units", "revenue", "growth", "reversal-rate", "good-reviews"],
  shop: ["units", "revenue", "growth", "reversal-rate", "good-reviews", "response-rate"],
};

const optionsOf = (kind) => RANKED_BY[kind].map((by) => [by, t(`by.${by}`)]);
const rankedBy = (kind) => chosen(place.value.query, `${kind}s`, optionsOf(kind));

/** What the stream is to follow for a list, such as "products:units"; null where it has none. */
export function streamed(kind, currency) {
  const by = rankedBy(kind);
  if (by === "growth" || (by === "revenue" && !currency)) return null;
  return `${kind}s:${by}${by === "revenue" ? `:${currency}` : ""}`;
}

/** `currency`: the one in which revenue is compared. */
export function Top({ kind, currency }) {
  const by = rankedBy(kind);
  const name = streamed(kind, currency);
  const loaded = useAnswer(
    by === "growth" ? `/top/${kind}s` : null,
    { by, limit: ROWS },
    GROWTH_AGAIN_MS,
  );
  const shown = by === "growth" ? loaded : { answer: name && latest(`top ${name}`).value };
  return html`<${Panel} title=${t(`top.${kind}s`)} hint=${by === "revenue" ? currency : ""}
    actions=${html`<${Choice} name=${`${kind}s`} label=${t("by")} value=${by} options=${optionsOf(kind)} />`}>
    <${Loaded} ...${shown}>${({ items }) => html`<${List} kind=${kind} by=${by} currency=${currency} items=${items.slice(0, ROWS)} />`}<//>
  <//>`;
}

function List({ kind, by, currency, items }) {
  if (items.length === 0) return html`<${State} kind="empty" title=${t("top.none")} />`;
  return html`<${Rows} caption=${t(`top.${kind}s`)} columns=${[
    [t(kind), ""], [t(by === "growth" ? "by.units" : `by.${by}`), "n"], [t("trend"), "n"], [t("days14"), "spark-cell"],
  ]}>${items.map((item) => {
    const id = item[`${kind}_id`];
    const trend = trendOf(item.same_point, by === "revenue" ? currency : "units");
    return html`<tr key=${id}>
      <td><${Subject} kind=${kind} id=${id} name=${item.name} picture=${item.picture} href=${addressOf(kind, id)} /></td>
      <td class="n"><${Ranked} item=${item} by=${by} currency=${currency} /></td>
      <td class="n">${trend && html`<${Trend} ...${trend} />`}</td>
      <td class="spark-cell"><${SmallChart} kind=${kind} id=${id} /></td></tr>`;
  })}<//>`;
}

/** What an item is ranked by, with the number that it is a share of. */
function Ranked({ item: { units, revenue, service }, by, currency }) {
  const share = (part, of) => html`${percent(part)} <small class="hint">${t("of", { count: number(of) })}</small>`;
  if (by === "revenue") return written(currency)(sumsIn({ revenue }, currency).net);
  if (by === "reversal-rate") return share(units.gross ? units.reversed / units.gross : null, units.gross);
  if (by === "good-reviews") return share(service.reviews.good_share, service.reviews.count);
  if (by === "response-rate") return share(service.inquiries.response_rate, service.inquiries.counted);
  return number(units.net);
}
