// The reader's stream: one connection for all that the present view shows.
//
// EventSource cannot send a token, so the stream is read by fetch. After a break it goes on behind
// the last event's position, with a growing pause; nothing is missed.
import { authorization, body, Problem, signIn } from "./api.js";
import { batch, computed, signal } from "./html.js";

const PAUSES_MS = [250, 500, 1000, 2000, 5000];
const SILENT_MS = 20_000; // the reader sends a comment every 15 s

/** The newest answer by event and subject: "product p-1", "marketplace", "top products:units" … */
const newest = new Map();
/** Freshness of the newest event: {as_of, applied, lag_seconds, state}; null before the first. */
export const freshness = signal(null);
/** "connecting", "open" or "broken", since when (epoch ms), and the Problem that broke it, if any. */
export const connection = signal({ state: "connecting", since: Date.now(), problem: null });
/** Ticks once a second: what shows an age follows it. */
export const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), 1000);

const counts = new Map();

/** The signal of how often `ms` have passed since 1970: what follows it is rendered that rarely. */
export function rounds(ms) {
  if (!counts.has(ms)) counts.set(ms, computed(() => Math.floor(now.value / ms)));
  return counts.get(ms);
}

/** Since when the numbers are not live, in epoch ms; null while they are. */
export const staleSince = computed(() => {
  if (connection.value.state === "broken") return connection.value.since;
  const found = freshness.value;
  return found && found.state !== "live" ? notLiveSince : null;
});
let notLiveSince = Date.now();
freshness.subscribe((found) => {
  if (!found || found.state === "live") notLiveSince = Date.now();
});

/** The signal of a key's newest answer: undefined until the first event, null where it is a 404. */
export function latest(key) {
  if (!newest.has(key)) newest.set(key, signal(undefined));
  return newest.get(key);
}

let following = null;

/**
 * Follow these subjects, [[parameter, value]…], instead of the former ones; `onEntry` is called for
 * each journal entry. Returns what ends it.
 */
export function follow(subjects, onEntry = () => {}) {
  following?.abort();
  const ending = new AbortController();
  following = ending;
  run(subjects, onEntry, ending.signal);
  return () => {
    ending.abort();
    if (following === ending) following = null;
  };
}

async function run(subjects, onEntry, ending) {
  let position = "";
  for (let tries = 0; !ending.aborted; tries += 1) {
    let problem = null;
    try {
      await read(subjects, position, ending, (event) => {
        tries = 0;
        if (event.id) position = event.id;
        apply(event, onEntry);
      });
    } catch (error) {
      if (ending.aborted) return;
      if (error instanceof Problem) problem = error;
    }
    if (ending.aborted) return;
    const { state, since } = connection.value;
    connection.value = { state: "broken", since: state === "broken" ? since : Date.now(), problem };
    const isRefused = problem?.status === 422;
    if (signIn.value || (isRefused && !position)) return; // the same request is refused again
    if (isRefused) position = ""; // another log
    await new Promise((done) => setTimeout(done, PAUSES_MS[Math.min(tries, PAUSES_MS.length - 1)]));
  }
}

async function read(subjects, position, ending, onEvent) {
  const query = new URLSearchParams(subjects);
  const silence = new AbortController();
  let timer = 0;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENT_MS);
  };
  heard();
  try {
    const response = await fetch(`/v1/stream?${query}`, {
      headers: { ...authorization(), ...(position ? { "Last-Event-ID": position } : {}) },
      signal: AbortSignal.any([ending, silence.signal]),
      cache: "no-store",
    });
    if (!response.ok) await body(response);
    connection.value = { state: "open", since: Date.now(), problem: null };
    const parse = parser(onEvent);
    const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await text.read();
      if (done) return;
      heard();
      batch(() => parse(value));
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Lines of an event stream → events {id, event, data}, as the HTML standard has it. */
export function parser(onEvent) {
  let rest = "";
  let event = { id: "", event: "message", data: [] };
  return (chunk) => {
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data.length) onEvent({ ...event, data: event.data.join("\n") });
        event = { id: event.id, event: "message", data: [] };
        continue;
      }
      const [, name, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
      if (name === "id") event.id = value ?? "";
      else if (name === "event") event.event = value ?? "message";
      else if (name === "data") event.data.push(value ?? "");
    }
  };
}

function apply({ event, data }, onEntry) {
  const { subject, answer, entry, freshness: fresh = answer?.freshness } = JSON.parse(data);
  if (fresh) freshness.value = fresh;
  if (event === "entry") onEntry(entry, subject);
  else if (event !== "freshness") latest(`${event} ${subject}`.trim()).value = answer;
}
