// Lines over time. A canvas says nothing to a screen reader: each chart has a table behind it.
import { html } from './html.js';
import { useEffect, useRef } from './vendor/hooks.js';
import uPlot from './vendor/uplot.js';
import { useWidth } from './parts.js';

const dark = matchMedia('(prefers-color-scheme: dark)');
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// steps are round numbers of bytes: 1, 2, 5, 10 ... of each unit.
const steps = [0, 1, 2, 3, 4].flatMap((unit) => [1, 2, 5, 10, 20, 50, 100, 200, 500].map((n) => n * 1024 ** unit));

const font = '12px system-ui, sans-serif';

function optionsOf({ width, height, lines, value, range, incrs }) {
  const axis = { stroke: colour('--muted'), font, grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
  return {
    width, height, pxAlign: 1,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: range ?? ((_, low, high) => [0, Math.max(high * 1.1, 1)]) } },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 90, values: (_, ticks) => ticks.map((t) => new Date(t * 1000).toLocaleTimeString('en-GB')) },
      { ...axis, size: 78, incrs, space: 32, values: (_, ticks) => ticks.map(value) },
    ],
    series: [{}, ...lines.map((line) => ({
      label: line.title, stroke: colour(line.colour), width: 1.75, dash: line.dash, spanGaps: false, points: { show: false },
      fill: line.fill ? `${colour(line.colour)}1a` : undefined,
    }))],
  };
}

// Chart draws lines; data is [times, values of the first line, ...].
export function Chart({ lines, data, value, range, label, height = 236, incrs = steps }) {
  const [element, width] = useWidth();
  const plot = useRef(null);
  useEffect(() => {
    if (!width) return undefined;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(optionsOf({ width, height, lines, value, range, incrs }), data, element.current);
    };
    draw();
    dark.addEventListener('change', draw);
    return () => {
      dark.removeEventListener('change', draw);
      plot.current.destroy();
      plot.current = null;
    };
  }, [width, height, lines.map((line) => line.title).join()]);
  useEffect(() => plot.current?.setData(data), [data]);
  return html`<div>
    <ul class="legend">${lines.map((line) => html`<li><svg viewBox="0 0 16 8" aria-hidden="true"><path d="M0 4h16" class=${line.colour.slice(2)} stroke-dasharray=${line.dash?.join(' ')} /></svg>${line.title}</li>`)}</ul>
    <div class="chart" role="img" aria-label=${label} ref=${element}></div>
  </div>`;
}
