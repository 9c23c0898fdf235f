// The versions of the tables: which one is answered, how far each is, and how the others differ.
import { ago, number } from "./format.js";
import { html } from "./html.js";
import { Ago, Panel, Rows, Ticking } from "./parts.js";
import { t } from "./words.js";

const KINDS = { answered: "good", preparing: "warn", pointed: "warn", former: "", beside: "" };

export function Rebuilds({ versions }) {
  const { beside, answered, answered_since: since } = versions;
  return html`<${Panel} title=${t("ops.rebuild")} hint=${t("ops.rebuild.hint")} wide>
    <${Rows} caption=${t("ops.rebuild")} columns=${[
      [t("ops.rebuild.version"), ""], [t("ops.rebuild.part"), ""], [t("ops.behind"), "n"], [t("ops.rebuild.difference"), ""],
    ]}>
      <tr><td><code>${answered}</code></td><td class="whole"><${Part} is="answered" /> ${since && html`<${Ago} iso=${since} />`}</td>
        <td class="n">–</td><td><${Audit} audit=${versions.audit} /></td></tr>
      ${beside.map((one) => html`<tr key=${one.app}><td><code>${one.app}</code></td>
        <td><${Beside} app=${one.app} versions=${versions} /></td>
        <td class="n">${one.records_behind === null ? "–" : number(one.records_behind)}</td>
        <td><${Compared} app=${one.app} difference=${one.difference} /></td></tr>`)}
    <//>
    ${beside.map(({ app, difference }) => difference?.examples.length > 0 && html`<${Examples} key=${app} of=${difference} />`)}
  <//>`;
}

const Part = ({ is }) => html`<span class="pill ${KINDS[is]}">${t(`ops.rebuild.${is}`)}</span>`;

function Beside({ app, versions: { pointed, preparing, former } }) {
  if (preparing?.app === app) {
    const left = preparing.records_to_read;
    return html`<${Part} is="preparing" /> ${preparing.waiting_for ?? (left !== null && t("ops.rebuild.left", { count: number(left) }))}`;
  }
  return html`<${Part} is=${app === pointed ? "pointed" : app === former ? "former" : "beside"} />`;
}

const Verdict = ({ count }) => html`<span class="pill ${count ? "bad" : "good"}">${
  count ? t("ops.rebuild.differs", { count: number(count) }) : t("ops.rebuild.differs.none")}</span>`;

const Audit = ({ audit }) => audit
  ? html`<${Verdict} count=${audit.mismatches} /> <${Ticking} of=${audit.at} text=${(at) =>
      t("ops.rebuild.audit", { ago: ago(Date.parse(audit.at), at) })} />`
  : t("ops.rebuild.audit.none");

function Compared({ app, difference }) {
  if (!difference) return t("ops.rebuild.compared.none");
  const { at: when, by, first, second, lists } = difference;
  const count = Object.values(lists).reduce((sum, one) => sum + one.different, 0);
  return html`<${Verdict} count=${count} /> <${Ticking} of=${`${when} ${by}`} text=${(at) =>
    t("ops.rebuild.compared", { ago: ago(Date.parse(when), at), by, app: first === app ? second : first })} />`;
}

/** How many rows of each list differ, and some of them with both values. */
const Examples = ({ of: { first, second, lists, examples, left_out: leftOut } }) => html`<details>
  <summary>${t("ops.rebuild.show")}: ${first} – ${second}</summary>
  <${Rows} caption=${t("ops.rebuild.difference")} columns=${[
    [t("ops.rebuild.list"), ""], [t("ops.rebuild.same"), "n"], [t("ops.rebuild.unequal"), "n"], [t("ops.rebuild.moving"), "n"],
  ]}>
    ${Object.entries(lists).map(([name, one]) => html`<tr key=${name}><td><code>${name}</code></td>
      <td class="n">${number(one.same)}</td><td class="n">${number(one.different)}</td><td class="n">${number(one.moving)}</td></tr>`)}
    ${Object.entries(leftOut).map(([name, why]) => html`<tr key=${name}><td><code>${name}</code></td><td class="n" colspan="3" lang="en">${why}</td></tr>`)}
  <//>
  <${Rows} caption=${t("ops.rebuild.show")} columns=${[
    [t("ops.rebuild.list"), ""], [t("ops.rebuild.example"), ""], [t("ops.rebuild.field"), ""], [first, "n"], [second, "n"],
  ]}>
    ${examples.map((row) => html`<${Example} row=${row} />`)}
  <//>
</details>`;

function Example({ row: { name, key, fields, only_in: only } }) {
  const subject = Object.values(key).join(" · ");
  const rows = only ? [{ field: t("ops.rebuild.only", { app: only }) }] : fields;
  return rows.map(({ field, first, second }, at) => html`<tr>
    <td>${at === 0 && html`<code>${name}</code>`}</td><td>${at === 0 && subject}</td>
    <td>${only ? field : html`<code>${field}</code>`}</td><td class="n">${first ?? "–"}</td><td class="n">${second ?? "–"}</td></tr>`);
}
