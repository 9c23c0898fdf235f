// Charts by uPlot, in the page's colours; each has its numbers as a table for those who hear it.
import { html, useEffect, useRef } from "./html.js";
import { day, hour, hourOfDay, number } from "./format.js";
import { language, t } from "./words.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const iso = (at) => new Date(at * 1000).toISOString();
const axisTime = (at, unit) => (unit === "day" ? day(iso(at), { utc: true }) : hour(iso(at)));
const named = (at, unit) => (unit === "day" ? day(iso(at), { utc: true }) : hourOfDay(iso(at)));
const sameDay = (one, other) => new Date(one * 1000).toDateString() === new Date(other * 1000).toDateString();

/** Steps of a scale: units and minor units are whole numbers. */
const WHOLE = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((one) => one * 10 ** power)).flat();

/**
 * Series over time. `times` in epoch seconds, `step` between them; `series` is
 * [{label, values, colour, bars}…]; `axis` formats a value of the scale and `text` one of the
 * legend. `unit` is "minute", "hour" or "day"; days are those of UTC, as in the answers.
 */
export function Chart({ title, times, step, series, axis = number, text = axis, unit, height = 200 }) {
  const place = useRef(null);
  const plot = useRef(null);
  const shape = series.map((one) => `${one.label} ${one.bars} ${one.colour}`).join() + `${language.value} ${unit} ${text(1)}`;
  useEffect(() => {
    const box = place.current;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(), [times, ...series.map((one) => one.values)], box);
    };
    const options = () => ({
      width: box.clientWidth,
      height,
      cursor: { y: false, points: { size: 6 } },
      legend: { live: true },
      tzDate: (at) => (unit === "day" ? uPlot.tzDate(new Date(at * 1000), "Etc/UTC") : new Date(at * 1000)),
      scales: { x: { time: true, range: (_, low, high) => [low - step / 2, high + step / 2] }, y: { range: (_, low, high) => [Math.min(0, low), high || 1] } },
      axes: [
        { stroke: colour("--muted"), grid: { show: false }, ticks: { show: false }, size: 28, space: 72, values: (_, at) => at.map(marked) },
        {
          stroke: colour("--muted"),
          grid: { stroke: colour("--line"), width: 1 },
          ticks: { show: false },
          size: 56,
          incrs: WHOLE,
          values: (_, at) => at.map((value) => axis(value)),
        },
      ],
      series: [
        { label: t("when"), value: (_, at) => (at === null ? "–" : named(at, unit)) },
        ...series.map((one) => ({
          label: one.label,
          stroke: colour(one.colour),
          fill: one.bars ? colour(one.colour) : undefined,
          width: one.bars ? 0 : 2,
          paths: one.bars ? uPlot.paths.bars({ size: [0.7, 48] }) : undefined,
          points: { show: false },
          value: (_, value) => (value === null ? "–" : text(value)),
        })),
      ],
    });
    const marked = (at, index, all) =>
      unit !== "day" && (index === 0 || !sameDay(at, all[index - 1])) && all.length > 1 && all.at(-1) - all[0] > 86_400
        ? day(iso(at))
        : axisTime(at, unit);
    draw();
    const resized = new ResizeObserver(() => {
      if (plot.current && box.clientWidth !== plot.current.width) {
        plot.current.setSize({ width: box.clientWidth, height });
      }
    });
    resized.observe(box);
    const themed = new MutationObserver(draw);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", draw);
    return () => {
      resized.disconnect();
      themed.disconnect();
      system.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => {
    plot.current?.setData([times, ...series.map((one) => one.values)]);
  }, [times, ...series.map((one) => one.values)]);
  return html`<figure class="chart">
    <div ref=${place} aria-hidden="true"></div>
    <figcaption class="hidden">
      <table>
        <caption>${title}</caption>
        <thead>
          <tr><td></td>${series.map((one) => html`<th scope="col">${one.label}</th>`)}</tr>
        </thead>
        <tbody>
          ${times.slice(-24).map((at, index) => {
            const row = Math.max(0, times.length - 24) + index;
            return html`<tr><th scope="row">${named(at, unit)}</th>
              ${series.map((one) => html`<td>${text(one.values[row] ?? 0)}</td>`)}</tr>`;
          })}
        </tbody>
      </table>
    </figcaption>
  </figure>`;
}
