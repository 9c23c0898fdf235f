// Numbers, money and times as people read them, in the viewer's language and zone.
import { computed } from "./html.js";
import { language, t } from "./words.js";

const english = navigator.languages.find((one) => /^en\b/.test(one)) ?? "en";
const tag = computed(() => (language.value === "zh" ? "zh-CN" : english));
const formats = new Map();

function format(kind, options) {
  const key = `${kind.name} ${tag.value} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new kind(tag.value, options));
  return formats.get(key);
}

export const number = (value) => format(Intl.NumberFormat, {}).format(value);
export const short = (value) =>
  format(Intl.NumberFormat, { notation: "compact", maximumFractionDigits: 1 }).format(value);
export const signed = (value) =>
  format(Intl.NumberFormat, { signDisplay: "exceptZero" }).format(value);
export const percent = (share, digits = 1) =>
  share === null || share === undefined
    ? "–"
    : format(Intl.NumberFormat, { style: "percent", maximumFractionDigits: digits }).format(share);

/** Digits of a currency's minor unit: 2 of USD, 0 of JPY, 3 of KWD (ISO 4217, as Intl has it). */
const minorDigits = new Map();
function digits(currency) {
  if (!minorDigits.has(currency)) {
    const options = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions();
    minorDigits.set(currency, options.maximumFractionDigits);
  }
  return minorDigits.get(currency);
}

/** Money in minor units, such as 2997 USD → "$29.97". */
export function money(minor, currency, { compact = false, sign = false } = {}) {
  try {
    const options = {
      style: "currency",
      currency,
      ...(compact ? { notation: "compact", maximumSignificantDigits: 3 } : {}),
      ...(sign ? { signDisplay: "exceptZero" } : {}),
    };
    return format(Intl.NumberFormat, options).format(minor / 10 ** digits(currency));
  } catch {
    return `${number(minor)} ${currency}`; // no ISO 4217 code: minor units as they are
  }
}

const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;
/** The viewer's zone, such as Europe/Berlin. */
export const viewersZone = zone();

export const time = (iso) =>
  format(Intl.DateTimeFormat, { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(
    new Date(iso),
  );
export const day = (iso, { utc = false } = {}) =>
  format(Intl.DateTimeFormat, {
    month: "short",
    day: "numeric",
    ...(utc ? { timeZone: "UTC" } : {}),
  }).format(new Date(iso));
export const hour = (iso) =>
  format(Intl.DateTimeFormat, { hour: "2-digit", minute: "2-digit" }).format(new Date(iso));
export const hourOfDay = (iso) =>
  format(Intl.DateTimeFormat, {
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
  }).format(new Date(iso));
/** A cycle, in UTC, such as "Nov 3 – Dec 3". */
export const cycleDays = ({ start, end }) =>
  `${day(start, { utc: true })} – ${day(end, { utc: true })}`;
export const instant = (iso) =>
  format(Intl.DateTimeFormat, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(iso));

const STEPS = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** How long ago, such as "3 min ago". */
export function ago(ms, nowMs) {
  const seconds = Math.round((ms - nowMs) / 1000);
  const [unit, size] = STEPS.find(([, one]) => Math.abs(seconds) >= one) ?? STEPS.at(-1);
  return format(Intl.RelativeTimeFormat, { numeric: "auto", style: "short" }).format(
    Math.round(seconds / size),
    unit,
  );
}

/** A span of time, such as "1:04:09" or "3d 1:04:09". */
export function span(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value) => String(value).padStart(2, "0");
  const [days, hours, minutes] = [86_400, 3600, 60].map((size) => Math.floor(seconds / size));
  const rest = `${two(minutes % 60)}:${two(seconds % 60)}`;
  if (!hours) return rest;
  const day_ = format(Intl.NumberFormat, { style: "unit", unit: "day", unitDisplay: "narrow" });
  return `${days ? `${day_.format(days)} ` : ""}${hours % 24}:${rest}`;
}

const PARTS = [
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

/** A length of time as people read it: its two largest units, such as "42 s" or "2 h 13 min". */
export function duration(ms) {
  const seconds = ms / 1000;
  if (seconds < 10) return `${number(Math.round(seconds * 10) / 10)} ${t("unit.s")}`;
  const at = PARTS.findIndex(([, size]) => seconds >= size);
  const least = seconds >= 600 && seconds < 3600 ? 60 : (PARTS[at + 1]?.[1] ?? 1);
  const rounded = Math.round(seconds / least) * least;
  let left = rounded;
  return PARTS.map(([unit, size]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return count ? `${number(count)} ${t(`unit.${unit}`)}` : "";
  })
    .filter(Boolean)
    .join(" ");
}
