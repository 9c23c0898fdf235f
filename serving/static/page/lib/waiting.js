// What stands in place of a view until its stream's first event.
import { html } from "./html.js";
import { connection } from "./live.js";
import { Failed, Loading } from "./parts.js";

/** Loading; or why there is no stream, such as a reader that is still restoring. */
export function Waiting() {
  const { problem } = connection.value;
  return problem ? html`<${Failed} error=${problem} />` : html`<${Loading} />`;
}
