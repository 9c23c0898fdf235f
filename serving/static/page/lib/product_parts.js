// Why a product came back, and the orders that make up its number.
import { money, number, percent } from "./format.js";
import { html } from "./html.js";
import { useAnswer } from "./loading.js";
import { Loaded, Panel, Rows, State } from "./parts.js";
import { addressOf } from "./route.js";
import { t, word } from "./words.js";

const AGAIN_MS = 30_000;
const ORDERS = 10;

/** After-sales cases by reason, most first: of the cycle that the service is of. */
export function Reasons({ service: { reviews, ...kinds }, note }) {
  const rows = Object.entries(kinds)
    .flatMap(([kind, { by_reason: reasons }]) =>
      Object.entries(reasons).map(([reason, found]) => ({ kind, reason, ...found })),
    )
    .sort((one, other) => other.count - one.count);
  const most = Math.max(1, ...rows.map(({ count }) => count));
  return html`<${Panel} title=${t("reasons")}
    hint=${[reviews.count ? t("reviews.hint", { good: number(reviews.good), count: number(reviews.count), share: percent(reviews.good_share) }) : t("reviews.none"), note].filter(Boolean).join(" · ")}>
    ${rows.length === 0
      ? html`<${State} kind="empty" title=${t("reasons.none")} />`
      : html`<${Rows} caption=${t("reasons")} columns=${[[t("reason"), ""], [t("case"), ""], [t("count"), "n"], ["", "share"], [t("amount"), "n"]]}>
          ${rows.map(({ kind, reason, count, amounts = {} }) => html`<tr key=${`${kind} ${reason}`}>
            <td>${word("complaint", reason)}</td><td>${word("case", kind)}</td><td class="n">${number(count)}</td>
            <td class="share"><div class="progress" aria-hidden="true"><i style=${{ width: `${(100 * count) / most}%` }}></i></div></td>
            <td class="n">${Object.entries(amounts).map(([currency, amount]) => html`<div>${money(amount, currency)}</div>`)}</td></tr>`)}
        <//>`}
  <//>`;
}

/** The largest orders of the current cycle. */
export function Largest({ path }) {
  const loaded = useAnswer(`${path}/explanation`, { limit: ORDERS }, AGAIN_MS);
  const left = loaded.answer?.orders_left_out;
  return html`<${Panel} title=${t("largest")} hint=${left ? t("largest.more", { count: number(left) }) : ""}>
    <${Loaded} ...${loaded}>${({ orders }) =>
      orders.length === 0
        ? html`<${State} kind="empty" title=${t("largest.none")} />`
        : html`<${Rows} caption=${t("largest")} columns=${[[t("order"), ""], [t("shop"), ""], [t("net"), "n"], [t("reversed"), "n"], [t("amount"), "n"]]}>
            ${orders.map((one) => html`<tr key=${one.order_id}>
              <td><a href=${addressOf("order", one.order_id)}>${one.order_id}</a></td>
              <td>${one.others.map((shop) => html`<a href=${addressOf("shop", shop)}>${shop}</a> `)}</td>
              <td class="n">${number(one.units.net)}</td><td class="n">${number(one.units.reversed)}</td>
              <td class="n">${money(one.amount.net, one.currency)}</td></tr>`)}<//>`}<//>
  <//>`;
}
