// Loads the contract for the component, which itself would give up after 5 s.
const explorer = document.querySelector("openapi-explorer");
try {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`status ${response.status}`);
  const contract = await response.json();
  await customElements.whenDefined("openapi-explorer");
  await explorer.loadSpec(contract);
} catch (error) {
  explorer.before(`The reader gives no contract (${error.message}): load this page again.`);
}
