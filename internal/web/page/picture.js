// The picture of who is behind what, drawn from its layout.
import { html } from './html.js';
import { live } from './live.js';
import { narrow, tree, wide } from './topology.js';
import { bothWays, Picture, rateColumns, Table, useWidth } from './parts.js';
import { count, rate, total } from './format.js';

const narrowest = 720; // below this there is no place for four columns

// cut shortens a text to a width, by how wide letters are about.
function cut(text, width, letter = 7) {
  const most = Math.max(3, Math.floor(width / letter));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

const what = { link: 'outside link', nat: 'NAT', network: 'network', endpoint: 'endpoint', rest: 'endpoints' };

const where = (box) => (box.kind === 'endpoint' ? `#sessions?endpoint=${encodeURIComponent(box.name)}`
  : box.kind === 'network' ? `#sessions?match=${encodeURIComponent(box.name)}` : undefined);

function Box({ box }) {
  const low = box.height < 40;
  const busy = total(box.rate) > 0;
  const rates = busy ? [`↑ ${rate(box.rate.bytesOut)}`, `↓ ${rate(box.rate.bytesIn)}`] : [];
  const side = busy ? Math.max(...rates.map((r) => r.length)) * 6.2 + 8 : 0;
  const room = box.width - 24 - side;
  const detail = box.detail.join(', ');
  const inner = html`
    <title>${`${what[box.kind]} ${box.name}${detail && `: ${detail}`}; ${bothWays(box.rate)} a second`}</title>
    <rect width=${box.width} height=${box.height} rx="6" class="face" />
    <rect width="3" height=${box.height - 12} x="0" y="6" rx="1.5" class="mark" />
    <text x="12" y=${low ? box.height / 2 - 2 : box.height / 2 - 4} class="name">${cut(box.name, room)}</text>
    <text x="12" y=${low ? box.height / 2 + 12 : box.height / 2 + 13} class="detail">${cut(detail, room, 6.3)}</text>
    ${busy && html`<text x=${box.width - 10} y=${low ? box.height / 2 - 3 : box.height / 2 - 4} class="out">${rates[0]}</text>
      <text x=${box.width - 10} y=${low ? box.height / 2 + 12 : box.height / 2 + 13} class="in">${rates[1]}</text>`}`;
  const place = { class: `box ${box.kind} ${box.state ?? ''}`, transform: `translate(${box.x} ${box.y})` };
  const href = where(box);
  return href ? html`<a ...${place} href=${href}>${inner}</a>` : html`<g ...${place}>${inner}</g>`;
}

function Line({ of, isTree }) {
  const { from, to } = of;
  const y = to.y + to.height / 2;
  const x = from.x + from.width;
  const bend = (to.x - x) / 2;
  const path = isTree ? `M${from.x + 8} ${from.y + from.height}V${y}H${to.x}`
    : `M${x} ${from.y + from.height / 2}c${bend} 0 ${bend} ${y - from.y - from.height / 2} ${to.x - x} ${y - from.y - from.height / 2}`;
  return html`<path d=${path} class=${total(of.rate) ? 'line busy' : 'line'} stroke-width=${isTree ? 1.25 : of.thick} />`;
}

export function Topology() {
  const [element, width] = useWidth();
  const world = tree(live);
  const drawn = width && (width < narrowest ? narrow(world, width) : wide(world, width));
  const rows = () => [...world.links, ...world.nats, ...world.all.flatMap((n) => [n, ...n.all.map((e) => ({ ...e, network: n.name }))])];
  const table = () => html`<${Table} label="Topology as a table" rows=${rows()} keyOf=${(row) => row.id} columns=${[
    { title: 'What', cell: (row) => what[row.kind] }, { title: 'Name', cell: (row) => row.name },
    { title: 'Behind', cell: (row) => row.network ?? row.nat ?? row.links?.map((l) => l.name).join(', ') ?? '' },
    { title: 'Addresses', wide: true, kind: 'code', cell: (row) => row.detail.join(', ') },
    { title: 'Sessions', num: true, cell: (row) => (row.sessions === undefined ? '' : count(row.sessions)) },
    ...rateColumns((row) => row.rate)]} />`;
  return html`<${Picture} title="Topology" table=${table} kind="topology"
      note=${width >= narrowest ? 'Outside links, NATs, networks, endpoints. The wider a line, the more goes over it.' : ''}>
    <div ref=${element}>${drawn && (world.networks.length || world.links.length
      ? html`<svg width=${drawn.width} height=${drawn.height} viewBox=${`0 0 ${drawn.width} ${drawn.height}`} role="group" aria-label="Topology: outside links, NATs, networks and endpoints">
          <g>${drawn.lines.map((l) => html`<${Line} key=${l.id} of=${l} isTree=${drawn.isTree} />`)}</g>
          ${drawn.boxes.map((b) => html`<${Box} key=${b.id} box=${b} />`)}
        </svg>`
      : html`<p class="empty">No network yet. <code>hostnat network create web</code> makes one.</p>`)}
      ${world.left > 0 && html`<p class="note">${count(world.left)} more networks send less; the table has them.</p>`}</div>
  </${Picture}>`;
}
