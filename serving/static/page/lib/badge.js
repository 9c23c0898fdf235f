// The badge as a shop's page shows it, in both languages, with the line that embeds it.
import { getText } from "./api.js";
import { html, useEffect, useState } from "./html.js";
import { FailedLine, Panel } from "./parts.js";
import { t } from "./words.js";

/** By language: its own name, and what stands in place of the badge where pictures are not shown. */
const LANGUAGES = { en: ["English", "Sales of this product"], zh: ["中文", "本商品销量"] };

export const Badge = ({ id, path, sold, traded }) =>
  html`<${Panel} title=${t("badge")} hint=${t("badge.hint")}>
    <div class="badges">${Object.keys(LANGUAGES).map(
      (lang) => html`<${One} key=${`${id} ${lang}`} path=${path} lang=${lang} version=${`${sold} ${traded}`} />`,
    )}</div>
  <//>`;

function One({ path, lang, version }) {
  const [svg, setSvg] = useState(null);
  const [error, setError] = useState(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    getText(`${path}/badge.svg`, { lang }, abort.signal)
      .then((text) => {
        setSvg(text);
        setError(null);
      })
      .catch((failed) => failed.name !== "AbortError" && setError(failed));
    return () => abort.abort();
  }, [path, lang, version, round]);
  const [name, alt] = LANGUAGES[lang];
  const line = `<img src="${location.origin}/v1${path}/badge.svg?lang=${lang}" alt="${alt}">`;
  return html`<div class="badge"><strong>${name}</strong>
    ${svg && html`<img src=${`data:image/svg+xml,${encodeURIComponent(svg)}`} alt=${/<title>(.*?)<\/title>/.exec(svg)?.[1] ?? ""} />`}
    ${error && html`<${FailedLine} error=${error} again=${() => setRound(round + 1)} />`}
    <${Copied} line=${line} label=${t("badge.line", { language: name })} /></div>`;
}

/** A line to copy: by the button, or by hand where the browser does not let a page copy. */
function Copied({ line, label }) {
  const [done, setDone] = useState(false);
  const copy = async ({ currentTarget }) => {
    currentTarget.previousElementSibling.select();
    await navigator.clipboard?.writeText(line);
    setDone(Boolean(navigator.clipboard));
  };
  return html`<div class="copied"><input readonly value=${line} aria-label=${label} onFocus=${({ target }) => target.select()} />
    <button onClick=${copy} aria-live="polite">${done ? t("copied") : t("copy")}</button></div>`;
}
