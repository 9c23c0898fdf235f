// Refused records by topic and reason; of each group the newest ones, masked.
import { number } from "./format.js";
import { Fragment, html, useState } from "./html.js";
import { Runbook } from "./findings.js";
import { useAnswer } from "./loading.js";
import { Ago, Loaded, Panel, Rows, State } from "./parts.js";
import { t } from "./words.js";

const SAMPLES_AGAIN_MS = 15_000;

/** `samples`: whether the token may read them. */
export function DeadLetters({ letters, samples = false }) {
  const columns = [
    [t("ops.topic"), ""], [t("ops.reason"), ""], [t("ops.open"), "n"], [t("ops.decided"), "n"], [t("ops.newest"), ""],
    ...(samples ? [["", "n"]] : []),
  ];
  return html`<${Panel} title=${t("ops.letters")} hint=${letters.length ? t("ops.letters.hint") : ""}>
    ${letters.length === 0
      ? html`<${State} kind="empty" title=${t("ops.letters.none")} />`
      : html`<${Rows} caption=${t("ops.letters")} columns=${columns}>
          ${letters.map((one) => html`<${Group} key=${`${one.topic} ${one.reason}`} one=${one} samples=${samples} columns=${columns.length} />`)}
        <//>`}
  <//>`;
}

function Group({ one, samples, columns }) {
  const [open, setOpen] = useState(false);
  return html`<${Fragment}><tr>
      <td>${one.topic}</td><td><${Runbook} section=${one.reason}><code>${one.reason}</code><//></td>
      <td class="n">${number(one.open)}</td><td class="n">${number(one.requeued + one.discarded)}</td>
      <td class="whole"><${Ago} iso=${one.newest} /></td>
      ${samples && html`<td class="n"><button aria-expanded=${String(open)} onClick=${() => setOpen(!open)}
        aria-label=${t("ops.samples.of", { reason: one.reason, topic: one.topic })}>${t("ops.samples")}</button></td>`}</tr>
    ${open && html`<tr class="samples"><td colspan=${columns}><${Samples} topic=${one.topic} reason=${one.reason} /></td></tr>`}<//>`;
}

function Samples({ topic, reason }) {
  const loaded = useAnswer("/dead-letters/samples", { topic, reason }, SAMPLES_AGAIN_MS);
  return html`<${Loaded} ...${loaded}>${({ items }) =>
    items.length === 0
      ? html`<p class="hint">${t("ops.samples.none")}</p>`
      : html`<ol class="letters">${items.map((one) => html`<${Sample} key=${one.id} one=${one} />`)}</ol>`}<//>`;
}

const Sample = ({ one }) => html`<li>
  <p><code>${one.of ?? one.id}</code> <span class="hint">${t("ops.samples.from", { source: one.source })} · <${Ago} iso=${one.parked_at} />
    ${one.attempt > 0 && html` · ${t("ops.samples.attempt", { count: number(one.attempt) })}`}</span></p>
  <p lang="en">${one.detail}</p>
  <details><summary>${t("ops.samples.content", { bytes: number(one.value_bytes ?? 0) })}</summary>
    <pre>${JSON.stringify({ key: one.key, headers: Object.fromEntries(one.headers), value: one.value }, null, 2)}</pre></details></li>`;
