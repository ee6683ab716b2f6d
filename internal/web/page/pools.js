// How many of their ports NATs have given out, over time.
import { html } from './html.js';
import { useEffect } from './vendor/hooks.js';
import { live, show } from './live.js';
import { Chart } from './chart.js';
import { Bar, Failed, Panel, Picture, Table } from './parts.js';
import { clock, count, percent, percentText } from './format.js';

const idOf = (p) => `${p.owner.replace(/^NAT /, '')} ${p.address} ${p.protocol}`;
const mostLines = 6;
const colours = ['--out', '--in', '--third', '--fourth', '--fifth', '--sixth'];

// fullest are the pools that have been used most.
function fullest() {
  const high = new Map();
  for (const { rows } of live.pools) for (const p of rows) high.set(idOf(p), Math.max(high.get(idOf(p)) ?? 0, percent(p.inUse, p.count)));
  return [...high].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, mostLines);
}

function OverTime() {
  const chosen = fullest().map(([id]) => id);
  const at = (sample, id) => {
    const pool = sample.rows.find((p) => idOf(p) === id);
    return pool ? percent(pool.inUse, pool.count) : null;
  };
  const table = () => html`<${Table} label="Pool use over time" rows=${live.pools.slice(-60).reverse()} keyOf=${(s) => s.at} columns=${[
    { title: 'Time', cell: (s) => clock(s.at * 1000) }, ...chosen.map((id) => ({ title: id, num: true, cell: (s) => percentText(at(s, id) ?? 0) }))]} />`;
  return html`<${Picture} title="Pool use over time" note="Part of the ports that are given out, since the page was opened" table=${table}>
    ${live.pools.length > 1 ? html`<${Chart} lines=${chosen.map((id, i) => ({ title: id, colour: colours[i] }))} value=${percentText} incrs=${[0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 25]} range=${(_, low, high) => [0, Math.min(100, Math.max(1, high * 1.2))]}
        label="Pool use over time; the table has the figures" data=${[live.pools.map((s) => s.at), ...chosen.map((id) => live.pools.map((s) => at(s, id)))]} />`
      : html`<p class="empty chart">The second reading comes in some seconds.</p>`}
  </${Picture}>`;
}

function Now() {
  const highs = new Map();
  for (const { rows } of live.pools) for (const p of rows) highs.set(idOf(p), Math.max(highs.get(idOf(p)) ?? 0, p.inUse));
  const rows = live.pools.at(-1)?.rows ?? [];
  return html`<${Panel} title="Pools" note="Ports, of ICMP identifiers, that NATs may give out on their addresses">
    <${Failed} of=${live.failed.ports} />
    <${Table} label="Pools" rows=${rows} keyOf=${idOf} empty="No NAT has an external address." columns=${[
      { title: 'NAT', cell: (p) => p.owner.replace(/^NAT /, '') }, { title: 'Address', kind: 'code', cell: (p) => p.address }, { title: 'Protocol', cell: (p) => p.protocol },
      { title: 'In use', num: true, cell: (p) => count(p.inUse) }, { title: 'Highest', num: true, wide: true, cell: (p) => count(highs.get(idOf(p)) ?? p.inUse) },
      { title: 'Of', num: true, wide: true, cell: (p) => count(p.count) },
      { title: 'Part', num: true, cell: (p) => percentText(percent(p.inUse, p.count)) },
      { title: html`<span class="unseen">How full</span>`, wide: true, kind: 'bars', cell: (p) => html`<${Bar} part=${percent(p.inUse, p.count)} label=${percentText(percent(p.inUse, p.count))} />` }]} />
  </${Panel}>`;
}

export function Pools() {
  useEffect(() => show({ count: 1 }), []);
  return html`<${OverTime} /><${Now} />`;
}
