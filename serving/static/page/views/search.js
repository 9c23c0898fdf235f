// The search as a view: its address has what is searched for.
import { html, useEffect } from "../lib/html.js";
import { follow } from "../lib/live.js";
import { SearchBox } from "../lib/search_box.js";
import { t } from "../lib/words.js";

export function Search() {
  useEffect(() => follow([["marketplace", ""]]), []);
  return html`<div class="title"><h1>${t("view.search")}</h1></div><${SearchBox} inView />`;
}
