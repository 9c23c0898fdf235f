// Units sold a minute, as this tab counted them: the differences between the stream's sums.
import { signal } from "./html.js";
import { freshness, latest } from "./live.js";

const MINUTE_S = 60;
const MOST = 30; // minutes that are kept

/** {since, rows}: since when (epoch ms; null before the first sums), and [minute, units]… in order. */
export const minutes = signal({ since: null, rows: [] });

/** Whether sums are of the present: while a reader catches up, they grow by what is long past. */
const arePresent = (fresh) => Date.now() - Date.parse(fresh?.as_of) < MINUTE_S * 1000;

/**
 * Count from the next sums of the present on. What was sold while nobody counted is in no minute.
 * Returns what ends it.
 */
export function countMinutes() {
  const stream = latest("marketplace");
  const former = stream.peek();
  let base = null;
  return stream.subscribe((sums) => {
    if (!sums || sums === former) return;
    if (!arePresent(freshness.peek())) {
      base = null;
      return;
    }
    const units = sums.all_time.units.gross;
    if (base !== null) add(units - base);
    else if (minutes.peek().since === null) minutes.value = { since: Date.now(), rows: [] };
    base = units;
  });
}

function add(units) {
  const minute = Math.floor(Date.now() / 1000 / MINUTE_S) * MINUTE_S;
  const { since, rows } = minutes.peek();
  const last = rows.at(-1);
  const added =
    last?.[0] === minute
      ? [...rows.slice(0, -1), [minute, last[1] + units]]
      : [...rows, [minute, units]];
  minutes.value = { since, rows: added.slice(-MOST) };
}
