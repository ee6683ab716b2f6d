// The first view: how much, by whom, over what, and what is wrong.
import { html } from './html.js';
import { useEffect } from './vendor/hooks.js';
import { live, show } from './live.js';
import { Chart } from './chart.js';
import { Topology } from './picture.js';
import { Panel, Picture, rateColumns, Table } from './parts.js';
import { clock, count, perSecond, rate } from './format.js';

const Figure = ({ title, value, note }) => html`<div class="figure"><dt>${title}</dt><dd>${value}${note && html`<small>${note}</small>`}</dd></div>`;

function Figures({ of: t }) {
  const known = t?.milliseconds;
  const drops = t?.drops.reduce((sum, drop) => sum + drop.latest, 0);
  return html`<dl class="figures">
    <${Figure} title="Out" value=${known ? rate(t.total.bytesOut) : '–'} note=${known && `${count(t.total.packetsOut)} packets/s`} />
    <${Figure} title="In" value=${known ? rate(t.total.bytesIn) : '–'} note=${known && `${count(t.total.packetsIn)} packets/s`} />
    <${Figure} title="Sessions" value=${t ? count(t.sessions) : '–'} note=${live.status && `room for ${count(live.status.maxSessions)}`} />
    <${Figure} title="New sessions" value=${known ? `${perSecond(t.opened, t.milliseconds)}/s` : '–'} />
    <${Figure} title="Dropped" value=${known ? `${perSecond(drops, t.milliseconds)}/s` : '–'} note=${known && 'packets'} />
    <${Figure} title="Endpoints" value=${count(live.endpoints.length)} note=${`${count(live.networks.length)} ${live.networks.length === 1 ? 'network' : 'networks'}`} />
  </dl>`;
}

function Problems() {
  const problems = live.status?.problems ?? [];
  const warnings = live.status?.warnings ?? [];
  if (!problems.length && !warnings.length) return null;
  return html`<section class="panel problems" aria-label="Problems">
    <ul>${problems.map((p) => html`<li class="problem"><strong>Problem</strong> ${p}</li>`)}${warnings.map((w) => html`<li class="warning"><strong>Warning</strong> ${w}</li>`)}</ul>
  </section>`;
}

const lines = [{ title: 'Out', colour: '--out', fill: true }, { title: 'In', colour: '--in', fill: true }];

function Throughput() {
  const s = live.samples;
  const table = () => html`<${Table} label="Traffic as a table" rows=${s.slice(-60).reverse()} keyOf=${(row) => row.at} columns=${[
    { title: 'Time', cell: (row) => clock(row.at * 1000) }, { title: 'Out', num: true, cell: (row) => rate(row.out) }, { title: 'In', num: true, cell: (row) => rate(row.in) },
    { title: 'New/s', num: true, wide: true, cell: (row) => row.opened.toFixed(1) }, { title: 'Dropped/s', num: true, wide: true, cell: (row) => row.drops.toFixed(1) },
    { title: 'Sessions', num: true, cell: (row) => count(row.sessions) }]} />`;
  return html`<${Picture} title="Traffic" note="Since the page was opened" table=${table}>
    ${s.length > 1 ? html`<${Chart} lines=${lines} value=${rate} label="Traffic over time, out and in; the table has the figures" data=${[s.map((p) => p.at), s.map((p) => p.out), s.map((p) => p.in)]} />`
      : html`<p class="empty chart">Two readings are needed; the second comes in a moment.</p>`}
  </${Picture}>`;
}

const nameOf = (row) => row.endpoint || row.address;

function Busiest() {
  const rows = (live.traffic?.endpoints ?? []).slice(0, 8);
  return html`<${Panel} title="Busiest endpoints">
    <${Table} label="Busiest endpoints" rows=${rows} keyOf=${(row) => `${row.network} ${nameOf(row)}`} empty="No endpoint has a session."
      columns=${[
        { title: 'Endpoint', cell: (row) => (row.endpoint ? html`<a href=${`#sessions?endpoint=${encodeURIComponent(row.endpoint)}`}>${row.endpoint}</a>` : row.address) },
        { title: 'Network', wide: true, cell: (row) => row.network }, { title: 'Sessions', num: true, cell: (row) => count(row.sessions) }, ...rateColumns((row) => row.rate)]} />
  </${Panel}>`;
}

export function Overview() {
  useEffect(() => show({ count: 200 }), []);
  return html`<${Problems} /><${Figures} of=${live.traffic} /><${Topology} />
    <div class="columns"><${Throughput} /><${Busiest} /></div>`;
}
