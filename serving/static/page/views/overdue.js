// Inquiries without a reply in time, of all shops, counting up.
import { number } from "../lib/format.js";
import { html, useEffect } from "../lib/html.js";
import { follow, latest } from "../lib/live.js";
import { OverdueList } from "../lib/overdue_list.js";
import { Panel, Tile } from "../lib/parts.js";
import { addressOf } from "../lib/route.js";
import { Waiting } from "../lib/waiting.js";
import { t } from "../lib/words.js";

export function Overdue() {
  const answer = latest("overdue").value;
  useEffect(() => follow([["overdue", ""]]), []);
  if (!answer) return html`<${Waiting} />`;
  const shops = answer.count > answer.items.length ? [] : byShop(answer.items); // a part would mislead
  return html`<div class="title"><h1>${t("view.overdue")}</h1></div>
    <div class="tiles">
      <${Tile} label=${t("view.overdue")} value=${number(answer.count)} note=${t("overdue.note")} />
      ${shops.slice(0, 5).map(([shop, count]) => html`<${Tile} key=${shop} label=${shop} value=${number(count)}
        note=${t("overdue.note")} href=${addressOf("shop", shop)} />`)}
    </div>
    <${Panel} title=${t("overdue.longest")} wide hint=${t("overdue.order")}>
      <${OverdueList} path="/overdue" first=${answer} />
    <//>`;
}

/** [[shop, count]…], most first. */
function byShop(items) {
  const counts = new Map();
  for (const { shop_id: shop } of items) counts.set(shop, (counts.get(shop) ?? 0) + 1);
  return [...counts].sort(([one, n], [other, m]) => m - n || (one < other ? -1 : 1));
}
