// The head of every view: search, places, how fresh the numbers are, language and theme.
import { ago, instant } from "./format.js";
import { html, signal } from "./html.js";
import { connection, freshness, staleSince } from "./live.js";
import { Ticking } from "./parts.js";
import { setToken, token } from "./api.js";
import { place } from "./route.js";
import { SearchBox } from "./search_box.js";
import { language, setLanguage, t } from "./words.js";

const THEMES = ["auto", "light", "dark"];
const theme = signal(document.documentElement.dataset.theme ?? "auto");

function setTheme(chosen) {
  theme.value = chosen;
  if (chosen === "auto") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("netsold.theme");
  } else {
    document.documentElement.dataset.theme = chosen;
    localStorage.setItem("netsold.theme", chosen);
  }
}

export function Head() {
  const other = language.value === "en" ? "zh" : "en";
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
  return html`<header class="head">
    <a class="brand" href="/"><img src="/static/page/icon.svg" alt="" width="24" height="24" />netsold</a>
    <nav aria-label=${t("nav")}>
      ${["overview", "overdue", "operations"].map(
        (view) => html`<a href=${view === "overview" ? "/" : `/${view}`}
          aria-current=${place.value.view === view ? "page" : undefined}>${t(`view.${view}`)}</a>`,
      )}
    </nav>
    ${place.value.view !== "search" && html`<${SearchBox} />`}
    <${Freshness} />
    <div class="choices">
      <button onClick=${() => setLanguage(other)} lang=${other}>${t("language.other")}</button>
      <button onClick=${() => setTheme(next)} aria-label=${t("theme.next", { theme: t(`theme.${next}`) })}
        title=${t(`theme.${theme.value}`)}>${{ auto: "◐", light: "☀", dark: "☾" }[theme.value]}</button>
      ${token() && html`<button onClick=${() => setToken("")}>${t("sign_out")}</button>`}
    </div>
  </header>`;
}

/**
 * Whether the whole way is live, through when it is complete, and how old that is. Only a change of
 * the state is announced: the age changes each second.
 */
function Freshness() {
  const found = freshness.value;
  const state =
    connection.value.state === "broken" ? "broken" : (found?.state ?? connection.value.state);
  const asOf = found?.as_of;
  return html`<div class="freshness ${state}" title=${t(`state.${state}.means`)}>
    <span class="dot" aria-hidden="true"></span>
    <strong role="status">${t(`state.${state}`)}</strong>
    ${staleSince.value
      ? html`<span><${Ticking} of=${staleSince.value} text=${(at) => t("stale.since", { ago: ago(staleSince.value, at) })} /></span>`
      : asOf && html`<time datetime=${asOf} title=${t("complete.title", { at: instant(asOf) })}>
          <${Ticking} of=${asOf} text=${(at) => t("complete", { ago: ago(Date.parse(asOf), at) })} /></time>`}
  </div>`;
}
