// The page: its head with freshness, and the view of the present address.
import { html, render, useEffect } from "./lib/html.js";
import { setToken, signIn } from "./lib/api.js";
import { Head } from "./lib/head.js";
import { place } from "./lib/route.js";
import { language, t } from "./lib/words.js";
import { State } from "./lib/parts.js";
import { Operations } from "./views/operations.js";
import { Order } from "./views/order.js";
import { Overdue } from "./views/overdue.js";
import { Overview } from "./views/overview.js";
import { Product } from "./views/product.js";
import { Search } from "./views/search.js";
import { Shop } from "./views/shop.js";

const VIEWS = {
  overview: Overview,
  product: Product,
  shop: Shop,
  order: Order,
  operations: Operations,
  overdue: Overdue,
  search: Search,
};

function App() {
  const { view, id } = place.value;
  const View = VIEWS[view];
  const title = id ?? t(View ? `view.${view}` : "error.no_page");
  useEffect(() => {
    document.title = `${title} · netsold`;
  }, [title, language.value]);
  return html`<a class="skip" href="#main">${t("skip")}</a>
    <${Head} />
    <main id="main" tabindex="-1">
      ${signIn.value
        ? html`<${SignIn} />`
        : View
          ? html`<${View} key=${`${view} ${id}`} id=${id} />`
          : html`<${State} kind="empty" title=${t("error.no_page")}
              action=${html`<a href="/">${t("view.overview")}</a>`} />`}
    </main>`;
}

function SignIn() {
  const submit = (event) => {
    event.preventDefault();
    setToken(new FormData(event.target).get("token").trim());
  };
  return html`<form class="panel sign-in" onSubmit=${submit}>
    <h1>${t("sign_in.title")}</h1>
    <p>${t("sign_in.why")}</p>
    ${signIn.value === "refused" && html`<p role="alert">${t("sign_in.refused")}</p>`}
    <label>${t("sign_in.token")}
      <input name="token" type="password" autocomplete="current-password" required />
    </label>
    <button class="first">${t("sign_in.go")}</button>
  </form>`;
}

render(html`<${App} />`, document.getElementById("app"));
