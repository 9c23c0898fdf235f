// A shop's service by cycle, and its products.
import { get } from "./api.js";
import { cycleDays, duration, money, number, percent } from "./format.js";
import { html, useEffect, useState } from "./html.js";
import { useAnswer } from "./loading.js";
import { trendOf } from "./measure.js";
import { Loaded, Panel, Rows, State, Subject, Trend } from "./parts.js";
import { addressOf } from "./route.js";
import { t } from "./words.js";

const CYCLES = 6; // one request each but for the present one
const PRODUCTS = 10;
const AGAIN_MS = 10_000;

/** Former cycles of a shop, newest first: {items, error, again}; they are read once. */
function useFormer(path, cycle) {
  const [found, setFound] = useState({ items: null, error: null });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    read(path, abort.signal)
      .then((items) => setFound({ items, error: null }))
      .catch((error) => error.name !== "AbortError" && setFound({ items: null, error }));
    return () => abort.abort();
  }, [path, cycle, round]);
  return { ...found, again: () => setRound(round + 1) };
}

async function read(path, abort) {
  const { items } = await get(`${path}/cycles`, { last: CYCLES }, abort);
  const former = items.filter(({ current, units }) => !current && units.gross > 0).reverse();
  return Promise.all(former.map(({ cycle }) => get(path, { cycle: cycle.start }, abort)));
}

/** Response rate and reply times by cycle; `present` is the shop's answer of the current one. */
export function ServiceByCycle({ path, present }) {
  const { items, ...reading } = useFormer(path, present.cycle.start);
  return html`<${Panel} title=${t("service.cycles")} hint=${t("service.rule", {
    within: duration(present.service_rules.reply_within_seconds * 1000),
    hours: present.service_rules.service_hours,
    zone: present.service_rules.zone,
  })}>
    <${Loaded} answer=${items} ...${reading}>${(former) => html`<${Service} cycles=${[present, ...former]} />`}<//>
  <//>`;
}

const Service = ({ cycles }) => html`<${Rows} caption=${t("service.cycles")} columns=${[
  [t("cycle"), ""], [t("by.response-rate"), "n"], ["p50", "n"], ["p90", "n"],
  [t("inquiries"), "n"], [t("late"), "n"], [t("view.overdue"), "n"],
]}>${cycles.map(({ cycle, service: { inquiries: one } }, at) => html`<tr key=${cycle.start}>
  <td class="whole">${cycleDays(cycle)} ${at === 0 && html`<span class="pill good">${t("current")}</span>`}</td>
  <td class="n">${percent(one.response_rate)}</td>
  <td class="n">${one.reply_ms ? duration(one.reply_ms.p50) : "–"}</td><td class="n">${one.reply_ms ? duration(one.reply_ms.p90) : "–"}</td>
  <td class="n">${number(one.counted)}</td><td class="n">${number(one.late)}</td><td class="n">${number(one.overdue)}</td></tr>`)}<//>`;

/** What of each product was sold in this shop. */
export function ShopProducts({ path }) {
  const loaded = useAnswer(`${path}/top`, { limit: PRODUCTS }, AGAIN_MS);
  return html`<${Panel} title=${t("top.products")}>
    <${Loaded} ...${loaded}>${({ items }) =>
      items.length === 0
        ? html`<${State} kind="empty" title=${t("top.none")} />`
        : html`<${Rows} caption=${t("top.products")} columns=${[[t("product"), ""], [t("by.units"), "n"], [t("revenue.net"), "n"], [t("trend"), "n"]]}>
            ${items.map((one) => html`<${Product} key=${one.product_id} one=${one} />`)}<//>`}<//>
  <//>`;
}

function Product({ one }) {
  const trend = trendOf(one.same_point);
  return html`<tr>
    <td><${Subject} kind="product" id=${one.product_id} name=${one.name} picture=${one.picture} href=${addressOf("product", one.product_id)} /></td>
    <td class="n">${number(one.in_shop.units)}</td>
    <td class="n">${Object.entries(one.in_shop.revenue).map(([currency, amount]) => html`<div>${money(amount, currency)}</div>`)}</td>
    <td class="n">${trend && html`<${Trend} ...${trend} />`}</td></tr>`;
}
