// What is wrong, what to do, and the section of the runbook about it.
import { html } from "./html.js";
import { Panel } from "./parts.js";
import { t } from "./words.js";

/** The section of the runbook about each finding, by its code. */
const SECTIONS = {
  behind: "lag-grows",
  copy_behind: "another-number-of-partitions",
  below_min_isr: "kafka-unreachable",
  broker_away: "kafka-unreachable",
  dead_letters: "dead-letters",
  dead_letters_uncounted: "kafka-unreachable",
  end_unknown: "kafka-unreachable",
  group_unknown: "without-rights",
  log_cut: "log-shorter-than-the-offset",
  mixed_builds: "a-wrong-rule-was-deployed",
  no_worker: "numbers-stopped",
  nothing_applied: "no-progress",
  offline: "kafka-unreachable",
  partitions: "topics-unfit",
  paused: "partition-paused",
  reader_cut_off: "not-live",
  rebalancing: "numbers-stopped",
  refused: "dead-letters",
  topic_created_again: "topic-deleted-and-created-again",
  topic_missing: "topics-unfit",
  under_replicated: "kafka-unreachable",
  unobserved: "kafka-unreachable",
  unread: "numbers-stopped",
};

/** A link to a section of the runbook; it opens beside the page, which stays as it is. */
export const Runbook = ({ section, children }) =>
  html`<a href=${`/runbook#${section}`} target="_blank" rel="noopener" title=${t("ops.runbook.title")}>${children}</a>`;

export const Findings = ({ findings }) => html`<${Panel} title=${t("ops.findings")} wide>
  ${findings.length === 0
    ? html`<p class="hint">${t("ops.findings.none")}</p>`
    : html`<ul class="findings">${findings.map((one) => html`<${Finding} key=${one.code} one=${one} />`)}</ul>`}
<//>`;

const Finding = ({ one: { code, severity, sentence, remedy } }) => html`<li>
  <span class="pill ${severity === "fault" ? "bad" : "warn"}">${t(`severity.${severity}`)}</span>
  <div lang="en"><strong>${sentence}</strong><p class="hint">${remedy}</p></div>
  <${Runbook} section=${SECTIONS[code] ?? "messages-a-to-z"}>${t("ops.runbook")}: <code>${code}</code><//></li>`;
