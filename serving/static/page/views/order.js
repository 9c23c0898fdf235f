// An order: what happened, by which rule, and what it changed.
import { pathOf } from "../lib/api.js";
import { instant, money, number, signed } from "../lib/format.js";
import { html, useEffect } from "../lib/html.js";
import { follow } from "../lib/live.js";
import { useAnswer } from "../lib/loading.js";
import { Ago, Failed, Loading, Panel, Subject } from "../lib/parts.js";
import { addressOf } from "../lib/route.js";
import { t, word } from "../lib/words.js";

export function Order({ id }) {
  const { answer, error, again } = useAnswer(`${pathOf("order", id)}/explanation`, {}, 5000);
  useEffect(() => follow([["marketplace", ""]]), []);
  if (!answer) return error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} />`;
  return html`<div class="title"><h1>${t("order.title", { id })}</h1>
      ${answer.shop_id && html`<${Subject} kind="shop" id=${answer.shop_id} href=${addressOf("shop", answer.shop_id)} />`}
      ${answer.buyer_id && html`<small>${t("order.buyer", { id: answer.buyer_id })}</small>`}</div>
    <${Panel} wide title=${t("order.result")}>
      <p class="sentence" lang="en">${answer.sentence}</p>
      <${Products} events=${answer.events} />
      <ul class="reasons" lang="en">${answer.because.map(
        (one) => html`<li>${one.line_ids.length ? html`<strong>${one.line_ids.join(", ")}: </strong>` : ""}${one.text}
          <${Rules} ids=${one.rules} /></li>`,
      )}</ul>
      ${answer.anomalies.map((one) => html`<span class="pill warn">${one.anomaly}${one.line_id ? ` · ${one.line_id}` : ""}</span>`)}
    <//>
    <${Panel} wide title=${t("order.events")} hint=${answer.earlier && t("order.earlier", { count: number(answer.earlier.facts) })}>
      <ol class="timeline">${answer.events.map((event) => html`<${Event} key=${event.position} event=${event} currency=${answer.currency} />`)}</ol>
    <//>`;
}

/** What was ordered, where its placing is among the listed events. */
function Products({ events }) {
  const lines = events.find(({ type, verdict }) => type === "order_placed" && verdict === "applied")?.fields.lines ?? [];
  return lines.length > 0 && html`<p>${t("order.products")}: ${lines.map(({ line_id, product_id, quantity }) =>
    html`<span key=${line_id}><${Subject} kind="product" id=${product_id} href=${addressOf("product", product_id)} /> × ${number(quantity)} </span>`)}</p>`;
}

const Rules = ({ ids }) => ids.map((id) => html` <span class="pill" title=${t("rules.title")}>${id}</span>`);

const KINDS = { applied: "", duplicate: "ignored", conflicting: "bad", parked: "bad" };

function Event({ event, currency }) {
  const changes = Object.entries(event.amounts).filter(([, amount]) => amount);
  return html`<li class=${KINDS[event.verdict]}>
    <strong>${event.type ? word("event", event.type) : t("order.unreadable")}</strong>
    ${event.verdict !== "applied" && html` <span class="pill ${event.verdict === "duplicate" ? "" : "bad"}">${t(`verdict.${event.verdict}`)}</span>`}
    <${Rules} ids=${event.rules} />
    <div class="hint">${event.occurred_at && html`<time datetime=${event.occurred_at}>${instant(event.occurred_at)}</time> · <${Ago} iso=${event.occurred_at} /> · `}${event.type && html`<code>${event.type}</code> · `}<code>${event.position}</code></div>
    ${(event.units !== 0 || changes.length > 0) &&
    html`<div class="trend ${event.units < 0 || changes.some(([, amount]) => amount < 0) ? "down" : "up"}">
      ${t("units", { units: signed(event.units) })}${changes.map(([code, amount]) => html` · ${money(amount, code, { sign: true })}`)}</div>`}
    ${event.parked && html`<p lang="en">${event.parked.detail ?? event.parked.reason}</p>`}
    <${Fields} fields=${event.fields} currency=${currency} />
  </li>`;
}

function Fields({ fields }) {
  const entries = Object.entries(fields);
  return entries.length > 0 && html`<details><summary>${t("order.fields")}</summary><pre>${JSON.stringify(fields, null, 2)}</pre></details>`;
}
