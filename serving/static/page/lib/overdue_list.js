// Overdue inquiries, longest first; each says for how long, to the second.
import { duration, instant, number, span } from "./format.js";
import { html } from "./html.js";
import { useMore } from "./more_pages.js";
import { FailedLine, Rows, State, Ticking } from "./parts.js";
import { addressOf } from "./route.js";
import { t } from "./words.js";

const keyOf = (one) => `${one.shop_id} ${one.buyer_id} ${one.message_id}`;

/**
 * `first` is the streamed page of what is at `path`; the others come by a button. `ofShop`: all are
 * of one shop, which is not repeated.
 */
export function OverdueList({ path, first, ofShop = false }) {
  const { items, rest, loading, error, more, again } = useMore(path, first, keyOf);
  if (first.items.length === 0) {
    const { reply_within_seconds: within, service_hours: hours, zone } = first.service_rules;
    return html`<${State} kind="empty" title=${t("overdue.none")}
      detail=${t("overdue.rule", { within: duration(within * 1000), hours, zone })} />`;
  }
  const columns = [[t("overdue.for"), "n"], [t("shop"), ""], [t("buyer"), ""], [t("order"), ""], [t("overdue.due"), ""]];
  return html`<${Rows} caption=${t("overdue.longest")} columns=${columns.filter((_, at) => !ofShop || at !== 1)}>
    ${items.map((one) => html`<${Row} key=${keyOf(one)} one=${one} ofShop=${ofShop} />`)}
  <//>
  <p class="more"><span class="hint">${t("overdue.hint", { shown: number(items.length), count: number(Math.max(first.count, items.length)) })}</span>
    ${error && html`<${FailedLine} error=${error} again=${again} />`}
    ${rest && html` <button onClick=${more} disabled=${loading}>${t(loading ? "loading" : "more")}</button>`}</p>`;
}

const Row = ({ one, ofShop }) => html`<tr>
  <td class="n"><strong class="overdue-for"><${Ticking} of=${one.due_at} text=${(at) => span(at - Date.parse(one.due_at))} /></strong></td>
  ${!ofShop && html`<td><a href=${addressOf("shop", one.shop_id)}>${one.shop_id}</a></td>`}
  <td class="whole">${one.buyer_id}</td>
  <td class="whole">${one.order_id ? html`<a href=${addressOf("order", one.order_id)}>${one.order_id}</a>` : "–"}</td>
  <td class="whole"><time datetime=${one.due_at}>${instant(one.due_at)}</time></td></tr>`;
