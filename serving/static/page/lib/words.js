// The page's words in English and Chinese; `t` follows the chosen language.
import { signal } from "./html.js";
import en from "../words/en.js";
import zh from "../words/zh.js";

const KEY = "netsold.language";
const LISTS = { en, zh };

export const language = signal(
  localStorage.getItem(KEY) ?? (navigator.language.startsWith("zh") ? "zh" : "en"),
);
language.subscribe((chosen) => (document.documentElement.lang = chosen));

export function setLanguage(chosen) {
  localStorage.setItem(KEY, chosen);
  language.value = chosen;
}

const ONE = /^[+-]?1$/;

/** A text by its name, or its form of one, NAME.one, by {count} or {units}; {name} in it is replaced. */
export function t(name, values = {}) {
  const words = LISTS[language.value];
  const single = ONE.test(values.count ?? values.units) ? words[`${name}.one`] : undefined;
  const text = single ?? words[name] ?? en[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
}

/** The word for a code of the API, such as a reason; the code itself where there is none. */
export const word = (list, code) => LISTS[language.value][`${list}.${code}`] ?? code;
