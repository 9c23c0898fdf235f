// A choice that the address has as a parameter.
import { html } from "./html.js";
import { ask } from "./route.js";

/** `options` is [[value, text]…]; the first is the default, which the address does not name. */
export const Choice = ({ name, label, value, options }) =>
  html`<select aria-label=${label} title=${label} value=${value}
    onChange=${({ target }) => ask({ [name]: target.value === options[0][0] ? null : target.value })}>
    ${options.map(([one, text]) => html`<option key=${one} value=${one} selected=${one === value}>${text}</option>`)}
  </select>`;

/** The value that the address has for a choice, or the first option's. */
export const chosen = (query, name, options) =>
  options.find(([one]) => one === query[name])?.[0] ?? options[0][0];
