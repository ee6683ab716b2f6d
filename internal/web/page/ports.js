// Who has which external port.
import { html } from './html.js';
import { useEffect } from './vendor/hooks.js';
import { live, show } from './live.js';
import { Dot, Failed, Panel, Picture, Table, useWidth } from './parts.js';
import { bytes, count } from './format.js';

const kinds = { mapping: 'mappings', proxy: 'port proxies', listener: "the host's programs", dynamic: 'given out by NATs', ephemeral: "the host's own connections" };

const rangesOf = (text) => text.split(',').map((part) => part.split('-').map(Number)).map(([low, high]) => [low, high ?? low]);
const where = (address) => (address === '0.0.0.0' || address === '::' ? '*' : address);
const narrowest = 2; // pixels of a port

// The map has a row for each protocol, from port 1 at the left to 65535 at the right.
function Strip({ ports, protocol, width }) {
  const scale = width / 65535;
  const order = Object.keys(kinds).reverse();
  const sorted = [...ports].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  return html`<g>${sorted.flatMap((p) => rangesOf(p.ports).map(([low, high]) => {
    const tall = p.kind === 'dynamic' || p.kind === 'ephemeral';
    return html`<rect x=${low * scale} y=${tall ? 10 : 2} height=${tall ? 16 : 32} width=${Math.max(narrowest, (high - low + 1) * scale)} class=${`port ${p.kind}`}>
      <title>${`${protocol} ${where(p.address)}:${p.ports}, ${p.owner}`}</title></rect>`;
  }))}</g>`;
}

function Map65535() {
  const [element, width] = useWidth();
  const all = live.ports ?? [];
  const protocols = ['tcp', 'udp'];
  const label = 66;
  const room = Math.max(0, width - label - 14);
  const ticks = width > 500 ? [1, 10000, 20000, 30000, 40000, 50000, 65535] : [1, 30000, 65535];
  const table = () => html`<${Table} label="All ports" rows=${all} columns=${[
    { title: 'Protocol', cell: (p) => p.protocol }, { title: 'Address', wide: true, kind: 'code', cell: (p) => where(p.address) }, { title: 'Ports', kind: 'code', cell: (p) => p.ports },
    { title: 'Kind', wide: true, cell: (p) => p.kind }, { title: 'Owner', cell: (p) => p.owner },
    { title: 'In use', num: true, wide: true, cell: (p) => (p.inUse === undefined ? '–' : `${count(p.inUse)} of ${count(p.count)}`) }]} />`;
  return html`<${Picture} title="Port map" note="External ports, from 1 to 65535" table=${table}>
    <ul class="legend">${Object.entries(kinds).map(([kind, title]) => html`<li><svg viewBox="0 0 12 12" aria-hidden="true"><rect width="12" height="12" rx="2" class=${`port ${kind}`} /></svg>${title}</li>`)}</ul>
    <div ref=${element}>${width > 0 && html`<svg width=${width} height=${protocols.length * 46 + 22} role="img" aria-label="Port map; the table has each row">
      ${protocols.map((protocol, i) => html`<g transform=${`translate(0 ${i * 46})`}>
        <text x="0" y="22" class="name">${protocol}</text>
        <g transform=${`translate(${label} 0)`}><rect y="10" height="16" width=${room} class="ground" /><${Strip} ports=${all.filter((p) => p.protocol === protocol)} protocol=${protocol} width=${room} /></g>
      </g>`)}
      ${ticks.map((t) => html`<text x=${label + (t / 65535) * room} y=${protocols.length * 46 + 12} class="detail" text-anchor=${t === 1 ? 'start' : t === 65535 ? 'end' : 'middle'}>${t}</text>`)}
    </svg>`}</div>
  </${Picture}>`;
}

const State = ({ good, text }) => html`<span class="state"><${Dot} is=${good ? 'good' : 'bad'} />${text}</span>`;

function Mappings() {
  return html`<${Panel} title="Mappings" note="Published ports">
    <${Failed} of=${live.failed.mappings} />
    <${Table} label="Mappings" rows=${live.mappings} keyOf=${(m) => m.id} empty="No port is published." columns=${[
      { title: 'Outside', kind: 'code', cell: (m) => `${m.protocol} ${m.external.replace(/^0\.0\.0\.0/, '*')}` },
      { title: 'Inside', kind: 'code', wide: true, cell: (m) => m.internal },
      { title: 'Endpoint', cell: (m) => html`${m.endpoint ?? ''}<span class="slim code">${m.internal}</span>` }, { title: 'Network', wide: true, cell: (m) => m.network },
      { title: 'From', wide: true, kind: 'code', cell: (m) => (m.from?.length ? m.from.join(', ') : 'anywhere') },
      { title: 'State', cell: (m) => html`<${State} good=${m.active} text=${m.active ? 'active' : 'inactive'} />` }]} />
  </${Panel}>`;
}

const target = (p) => (p.routes?.length ? p.routes.map((r) => `${r.pattern} → ${r.connect}`).join(', ') : p.connect);

function Proxies() {
  return html`<${Panel} title="Port proxies" note="Relays">
    <${Failed} of=${live.failed.proxies} />
    <${Table} label="Port proxies" rows=${live.proxies} keyOf=${(p) => p.id} empty="There are none." columns=${[
      { title: 'Listens', kind: 'code', cell: (p) => `${p.protocol} ${p.listen}` }, { title: 'Connects', kind: 'code', cell: target }, { title: 'Kind', wide: true, cell: (p) => p.kind },
      { title: 'Now', num: true, wide: true, cell: (p) => count(p.connections) }, { title: 'In all', num: true, wide: true, cell: (p) => count(p.totalConnections) },
      { title: 'Bytes in, out', num: true, wide: true, cell: (p) => `${bytes(p.bytesIn)}, ${bytes(p.bytesOut)}` },
      { title: 'State', cell: (p) => html`<${State} good=${p.listening} text=${p.problem || (p.listening ? 'listening' : 'not listening')} />` }]} />
  </${Panel}>`;
}

export function Ports() {
  useEffect(() => show({ count: 1 }), []);
  return html`<${Failed} of=${live.failed.ports} /><${Map65535} /><${Mappings} /><${Proxies} />`;
}
