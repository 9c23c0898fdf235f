// Parts that views are made of: tiles, panels, tables, states.
import { ago, instant, signed } from "./format.js";
import { computed, Fragment, html, useMemo } from "./html.js";
import { now, staleSince } from "./live.js";
import { language, t } from "./words.js";

/**
 * A panel with a heading; `actions` stand at its right. `wide`: as wide as the view; `double`: two
 * columns of three, where there are so many.
 */
export function Panel({ title, hint, actions, wide, double, children }) {
  return html`<section class=${`panel${wide ? " wide" : ""}${double ? " double" : ""}`} aria-label=${title}>
    <header>
      <h2>${title}</h2>
      ${hint && html`<p class="hint">${hint}</p>`}
      ${actions && html`<div class="actions">${actions}</div>`}
    </header>
    ${children}
  </section>`;
}

/** One number: grey, and since when, as soon as it is not live. */
export function Tile({ label, value, note, trend, href }) {
  const since = staleSince.value;
  const inner = html`<span class="label">${label}</span>
    <span class="value">${value ?? html`<span class="skeleton" aria-hidden="true"></span>`}</span>
    <span class="note">${since ? html`<${Ticking} of=${since} text=${(at) => t("stale.since", { ago: ago(since, at) })} />` : note}</span>
    ${trend !== undefined && trend !== null && html`<${Trend} ...${trend} />`}`;
  const kind = `tile${since ? " stale" : ""}`;
  return href
    ? html`<a class=${kind} href=${href}>${inner}</a>`
    : html`<div class=${kind}>${inner}</div>`;
}

/** This cycle against the last one at the same point. */
export function Trend({ now: present, before, text = signed }) {
  const change = present - before;
  const direction = change > 0 ? "up" : change < 0 ? "down" : "even";
  const sign = { up: "▲", down: "▼", even: "＝" }[direction];
  return html`<span class="trend ${direction}" title=${t("trend.title")}>
    <span aria-hidden="true">${sign}</span> ${text(change)}
    ${before ? ` (${signed(Math.round((100 * change) / before))} %)` : ""}
  </span>`;
}

/** A line of bars without axes, for a row of a table. */
export function Spark({ values, label }) {
  const most = Math.max(1, ...values);
  const width = 100 / Math.max(1, values.length);
  return html`<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img"
    aria-label=${label}>
    ${values.map(
      (value, index) => html`<rect x=${index * width + width * 0.1} width=${width * 0.8}
        y=${24 - (22 * Math.max(0, value)) / most} height=${(22 * Math.max(0, value)) / most + 1} />`,
    )}
  </svg>`;
}

/** What stands in place of a view or panel: loading, empty, an error with what to do. */
export function State({ kind, title, detail, action }) {
  return html`<div class="state ${kind}" role=${kind === "error" ? "alert" : undefined} aria-busy=${kind === "loading" ? "true" : undefined}>
    <p class="title">${title}</p>
    ${detail && html`<p>${detail}</p>`} ${action}
  </div>`;
}

export const Loading = () => html`<${State} kind="loading" title=${t("loading")} />`;

/** What a problem is in a few words; the reader's own where the page has none. */
const problemTitle = ({ status, title }) =>
  ({ 0: t("error.no_answer"), 403: t("error.scope"), 404: t("error.unknown"), 429: t("error.too_many"), 503: t("error.not_ready") })[status] ?? title;

/** The state of a problem that a request had. */
export const Failed = ({ error, again }) => html`<${State} kind="error" title=${problemTitle(error)} detail=${error.detail}
    action=${again && html`<button onClick=${again}>${t("again")}</button>`} />`;

/** The same in a line, for a small part of a view. */
export const FailedLine = ({ error, again }) => html`<p class="failed" role="alert">
  <span class="pill warn">${t("error.part")}</span> <span class="hint" title=${error.detail}>${problemTitle(error)}</span>
  ${again && html` <button onClick=${again}>${t("again")}</button>`}</p>`;

/**
 * What an answer shows, by a function of it; until it is there what the request is doing. An answer
 * that could not be read again stays, with a line that says so.
 */
export const Loaded = ({ answer, error, again, children }) =>
  answer
    ? html`${error && html`<${FailedLine} error=${error} again=${again} />`}${children(answer)}`
    : error
      ? html`<${Failed} error=${error} again=${again} />`
      : html`<${Loading} />`;

/** A picture of another host; nothing where it cannot be loaded. */
export const Picture = ({ of, large = false }) =>
  html`<img key=${of} class=${large ? "picture" : ""} src=${of} alt="" loading="lazy" referrerpolicy="no-referrer"
    onError=${(event) => { event.target.hidden = true; }} />`;

/** A name with its id, as a link. */
export function Subject({ kind, id, name, href, picture }) {
  return html`<a class="subject" href=${href}>
    ${picture && html`<${Picture} of=${picture} />`}
    <span>${name ?? id}</span>${name && html`<small>${id}</small>`}
  </a>`;
}

/**
 * A text that follows the time: `text` is called each second with the time in epoch ms, and only this
 * text is changed, whatever stands around it. `of`: what the text is made from.
 */
export const Ticking = ({ of, text }) =>
  html`<${Fragment}>${useMemo(() => computed(() => text(now.value)), [of, language.value])}<//>`;

/** An instant: how long ago, with the whole time as its title. */
export const Ago = ({ iso }) => html`<time datetime=${iso} title=${instant(iso)}>
  <${Ticking} of=${iso} text=${(at) => ago(Date.parse(iso), at)} /></time>`;

/** A table with a caption for those who hear it; `columns` is [[heading, class]…]. */
export function Rows({ caption, columns, children }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${caption}>
    <table>
      <caption class="hidden">${caption}</caption>
      <thead>
        <tr>${columns.map(([heading, kind]) =>
          heading ? html`<th scope="col" class=${kind}>${heading}</th>` : html`<td class=${kind}></td>`)}</tr>
      </thead>
      <tbody>${children}</tbody>
    </table>
  </div>`;
}
