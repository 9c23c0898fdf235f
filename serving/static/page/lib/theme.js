// Runs before the first paint, so that a chosen theme does not flash.
(function () {
  const chosen = localStorage.getItem("netsold.theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
  // Paper is light, also under a dark system: charts are drawn anew in that theme, and back.
  let before;
  addEventListener("beforeprint", () => {
    before = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    if (before) document.documentElement.dataset.theme = before;
    else delete document.documentElement.dataset.theme;
  });
})();
