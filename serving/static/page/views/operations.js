// The whole way from the events' topics to this page, for those who keep it running.
import { duration, number } from "../lib/format.js";
import { html, useEffect } from "../lib/html.js";
import { DeadLetters } from "../lib/dead_letters.js";
import { Findings } from "../lib/findings.js";
import { follow } from "../lib/live.js";
import { useAnswer } from "../lib/loading.js";
import { Ago, Failed, FailedLine, Loading, Panel, Rows, State, Tile } from "../lib/parts.js";
import { Rebuilds } from "../lib/rebuilds.js";
import { t } from "../lib/words.js";

const AGAIN_MS = 2000;
const FORBIDDEN = 403;

const seconds = (value) => (value === null ? "–" : duration(value * 1000));
const whole = (value) => (value === null ? "–" : number(value));
const rateOf = (value) => (value === null ? "–" : number(Math.round(value * 10) / 10));

export function Operations() {
  const { answer, error, again } = useAnswer("/status", {}, AGAIN_MS);
  useEffect(() => follow([["marketplace", ""]]), []);
  if (error?.status === FORBIDDEN) return html`<${ForReaders} />`;
  if (!answer) return error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} />`;
  return html`<div class="title"><h1>${t("view.operations")}</h1><small>${answer.app}</small></div>
    ${error && html`<${FailedLine} error=${error} again=${again} />`}
    <${Tiles} answer=${answer} />
    <div class="grid pair">
      <${Findings} findings=${answer.findings} />
      <${Partitions} sources=${answer.sources} />
      <${DeadLetters} letters=${answer.dead_letters} samples />
      <${Versions} reader=${answer.reader} workers=${answer.workers} members=${answer.cluster.members} />
      <${Rebuilds} versions=${answer.versions} />
      <${Tables} tables=${answer.tables} />
    </div>`;
}

/** What a token of the scope `read` may see of it, and what it needs for the rest. */
function ForReaders() {
  const health = useAnswer("/health", {}, AGAIN_MS);
  const letters = useAnswer("/dead-letters", {}, AGAIN_MS);
  return html`<div class="title"><h1>${t("view.operations")}</h1></div>
    <${Panel} title=${t("ops.scope.title")}>
      <p>${t("ops.scope.missing")}</p>
      <p class="hint">${t("ops.scope.how")} <code>netsold token new --scope operate --name …</code></p>
    <//>
    <div class="grid pair after">
      ${health.answer ? html`<${Findings} findings=${health.answer.findings} />` : html`<${Waiting} of=${health} />`}
      ${letters.answer ? html`<${DeadLetters} letters=${letters.answer.items} />` : html`<${Waiting} of=${letters} />`}
      ${health.answer && html`<${Rebuilds} versions=${health.answer.versions} />`}
    </div>`;
}

const Waiting = ({ of: { error, again } }) =>
  error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} />`;

function Tiles({ answer }) {
  const open = answer.dead_letters.reduce((sum, one) => sum + one.open, 0);
  const rate = answer.sources.reduce((sum, one) => sum + (one.records_per_second ?? 0), 0);
  return html`<div class="tiles">
    <${Tile} label=${t("ops.state")} value=${t(`state.${answer.state}`)} note=${t(`state.${answer.state}.means`)} />
    <${Tile} label=${t("ops.behind")} value=${whole(answer.records_behind)} note=${t("ops.behind.note")} />
    <${Tile} label=${t("ops.rate")} value=${number(Math.round(rate))} note=${t("ops.rate.note")} />
    <${Tile} label=${t("ops.lag")} value=${seconds(answer.freshness.lag_seconds)} note=${t("ops.lag.note")} />
    <${Tile} label=${t("ops.workers")} value=${number(answer.cluster.members.length)} note=${t("ops.group", { state: answer.cluster.group_state ?? "–" })} />
    <${Tile} label=${t("ops.letters")} value=${number(open)} note=${t("ops.letters.note")} />
  </div>`;
}

const Partitions = ({ sources }) => html`<${Panel} title=${t("ops.partitions")} wide>
  <${Rows} caption=${t("ops.partitions")} columns=${[
    [t("ops.partition"), ""], [t("ops.owner"), ""], [t("ops.behind"), "n"], [t("ops.waiting"), "n"], [t("ops.watermark"), ""],
    [t("ops.rate"), "n"], [t("ops.applied"), "n"], [t("ops.end"), "n"], [t("ops.slowest"), ""],
  ]}>
    ${sources.map((one) => html`<tr key=${one.source}>
      <td class="whole">${one.source}</td><td class="whole">${one.read_by ?? html`<span class="pill bad">${t("ops.nobody")}</span>`}</td>
      <td class="n">${whole(one.behind)}</td><td class="n">${one.behind ? seconds(one.waiting_seconds) : "–"}</td>
      <td class="whole">${one.watermark ? html`<${Ago} iso=${one.watermark} />` : "–"}</td>
      <td class="n">${rateOf(one.records_per_second)}</td>
      <td class="n">${whole(one.applied)}</td><td class="n">${whole(one.end)}</td>
      <td class="whole">${one.slowest ?? "–"}</td></tr>`)}
  <//>
<//>`;

/** The builds that run: of this reader, and of the workers by the partitions that they wrote last. */
function Versions({ reader, workers, members }) {
  const differs = (build) => build && reader.build && build !== reader.build;
  return html`<${Panel} title=${t("ops.versions")}>
    <${Rows} caption=${t("ops.versions")} columns=${[[t("ops.what"), ""], [t("ops.build"), ""], [t("ops.rules"), "n"], [t("ops.partitions"), ""]]}>
      <tr><td>${t("ops.reader")}</td><td><code>${reader.build ?? "–"}</code></td><td class="n">${reader.rules}</td><td>–</td></tr>
      ${workers.map((one) => html`<tr key=${`${one.build} ${one.rules}`}><td>${t("ops.workers")}</td>
        <td><code>${one.build || "–"}</code> ${differs(one.build) && html`<span class="pill warn">${t("ops.differs")}</span>`}</td>
        <td class="n">${one.rules}</td><td title=${one.partitions.join(", ")}>${partitionNames(one.partitions)}</td></tr>`)}
    <//>
    <${Rows} caption=${t("ops.members")} columns=${[[t("ops.owner"), ""], [t("ops.host"), ""], [t("ops.holds"), ""]]}>
      ${members.map((one) => html`<tr key=${one.name}><td class="whole">${one.name}</td><td>${one.host}</td>
        <td title=${one.holds.join(", ")}>${partitionNames(one.holds)}</td></tr>`)}
    <//>
    ${members.length === 0 && html`<${State} kind="empty" title=${t("ops.members.none")} />`}
  <//>`;
}

/** "orders 0, 1 · chats 0, 1" from ["orders-0", …]. */
function partitionNames(names) {
  const topics = new Map();
  for (const name of names) {
    const [, topic, partition] = /^(.*)-(\d+)$/.exec(name) ?? [null, name, ""];
    topics.set(topic, [...(topics.get(topic) ?? []), partition]);
  }
  return [...topics].map(([topic, partitions]) => `${topic} ${partitions.join(", ")}`).join(" · ") || "–";
}

const Tables = ({ tables }) => html`<${Panel} title=${t("ops.tables")} wide>
  <${Rows} caption=${t("ops.tables")} columns=${[
    [t("ops.table"), ""], [t("ops.topic"), ""], [t("ops.age"), "n"], [t("ops.to_read"), "n"], [t("ops.rate"), "n"],
  ]}>
    ${tables.map((one) => html`<tr key=${one.name}><td>${one.name}</td><td>${one.topic}</td>
      <td class="n">${seconds(one.freshness.lag_seconds)}</td>
      <td class="n">${number(one.partitions.reduce((sum, each) => sum + each.behind, 0))}</td>
      <td class="n">${rateOf(one.records_per_second)}</td></tr>`)}
  <//>
<//>`;
