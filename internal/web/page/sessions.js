// The sessions that send, the first ones of some order; the daemon chooses them.
import { html } from './html.js';
import { useEffect, useRef, useState } from './vendor/hooks.js';
import { send } from './api.js';
import { live, show } from './live.js';
import { Failed, Panel, Rates, Table, useLater } from './parts.js';
import { bytes, count, duration, rate, since } from './format.js';

const orders = { bytes: 'most bytes', packets: 'most packets', opened: 'youngest', name: 'endpoint' };
const idOf = (s) => `${s.compartment} ${s.protocol} ${s.internal} ${s.remote} ${s.createdAt}`;

// End asks before it ends a session.
function End({ session, close }) {
  const dialog = useRef(null);
  const [failed, setFailed] = useState(null);
  useEffect(() => dialog.current.showModal(), []);
  const end = async () => {
    try {
      await send('DELETE', '/v1/sessions', { query: { nat: session.nat, network: session.network, protocol: session.protocol, internal: session.internal, remote: session.remote } });
      close();
    } catch (error) {
      setFailed(error);
    }
  };
  return html`<dialog ref=${dialog} onClose=${close} aria-labelledby="end-title">
    <h2 id="end-title">End this session?</h2>
    <p><strong>${session.endpoint || session.internal}</strong> with <code>${session.remote}</code>, ${session.protocol}. Its next packet from inside opens another one, if the protocol allows.</p>
    <${Failed} of=${failed} />
    <p class="buttons"><button onClick=${close}>Keep it</button><button class="danger" onClick=${end}>End it</button></p>
  </dialog>`;
}

// remote is the name that the endpoint has asked for, if one is known, and the address.
const Remote = ({ of: s }) => (s.name ? html`${s.name} <span class="second code">${s.remote}</span>` : html`<span class="code">${s.remote}</span>`);

const milliseconds = (micro) => (micro ? `${(micro / 1000).toFixed(micro < 10000 ? 1 : 0)} ms` : '–');

// Handshake is how long each side took to answer, and whose answer is missing.
function Handshake({ of: h }) {
  if (!h) return '';
  const repeats = h.repeatedSyns ? `, the SYN was repeated ${h.repeatedSyns} times` : '';
  const waits = h.awaits && `waits for ${h.awaits}`;
  return html`<span title=${`endpoint | outside${repeats}`}>${waits || `${milliseconds(h.endpointMicroseconds)} | ${milliseconds(h.outsideMicroseconds)}`}${h.repeatedSyns ? ' *' : ''}</span>`;
}

function columnsOf(rows, ask) {
  const known = rows.some((s) => s.handshake);
  return [
    { title: 'Endpoint', cell: (s) => html`${s.endpoint ? html`<a href=${`#sessions?endpoint=${encodeURIComponent(s.endpoint)}`}>${s.endpoint}</a>` : s.internal} <span class="second">${s.protocol}</span><span class="slim code">${s.remote}</span>` },
    { title: 'Inside', wide: true, kind: 'code', cell: (s) => s.internal },
    { title: 'Outside', wide: true, kind: 'code', cell: (s) => s.external },
    { title: 'Remote', wide: true, cell: (s) => html`<${Remote} of=${s} />` },
    { title: 'State', wide: true, cell: (s) => (s.state === 'none' ? '' : s.state) },
    { title: 'Rate', num: true, kind: 'slim', cell: (s) => html`<${Rates} of=${s.rate} />` },
    { title: 'Out', num: true, wide: true, cell: (s) => rate(s.rate.bytesOut) },
    { title: 'In', num: true, wide: true, cell: (s) => rate(s.rate.bytesIn) },
    { title: 'Sent', num: true, wide: true, cell: (s) => html`<span title=${`${count(s.packetsOut)} packets`}>${bytes(s.bytesOut)}</span>` },
    { title: 'Received', num: true, wide: true, cell: (s) => html`<span title=${`${count(s.packetsIn)} packets`}>${bytes(s.bytesIn)}</span>` },
    ...(known ? [{ title: 'Handshake', num: true, wide: true, cell: (s) => html`<${Handshake} of=${s.handshake} />` }] : []),
    { title: 'Age', num: true, wide: true, cell: (s) => html`<span title=${`${duration(s.lifetimeSeconds)} left if nothing is sent`}>${since(s.createdAt)}</span>` },
    { title: html`<span class="unseen">End</span>`, kind: 'act', cell: (s) => html`<button class="small" onClick=${() => ask(s)}>End<span class="unseen"> ${`the session of ${s.endpoint || s.internal} with ${s.remote}`}</span></button>` },
  ];
}

export function Sessions({ parameters }) {
  const [match, setMatch] = useState(parameters.get('match') ?? '');
  const [order, setOrder] = useState('bytes');
  const [ending, setEnding] = useState(null);
  const endpoint = parameters.get('endpoint') ?? '';
  const later = useLater(match);
  useEffect(() => setMatch(parameters.get('match') ?? ''), [parameters.get('match')]);
  useEffect(() => show({ endpoint, match: later, order, count: 100 }), [endpoint, later, order]);
  const t = live.traffic;
  const rows = t?.active ?? [];
  const note = t && `${count(t.matchingSessions)} of ${count(t.sessions)} have sent in the last minute${endpoint || later ? ' and match' : ''}; ${rows.length < t.matchingSessions ? `the first ${rows.length} are shown` : 'all are shown'}`;
  return html`<${Panel} title="Sessions" note=${note} tools=${html`
    ${endpoint && html`<a class="chip" href="#sessions" aria-label=${`Not only ${endpoint}: show all endpoints`}>${endpoint} <span aria-hidden="true">×</span></a>`}
    <label class="field"><span class="unseen">Filter</span><input type="search" placeholder="Name, address, :443, udp …" value=${match} onInput=${(event) => setMatch(event.currentTarget.value)} /></label>
    <label class="field">Order <select value=${order} onChange=${(event) => setOrder(event.currentTarget.value)}>${Object.entries(orders).map(([value, title]) => html`<option value=${value}>${title}</option>`)}</select></label>`}>
    <${Table} label="Sessions" columns=${columnsOf(rows, setEnding)} rows=${rows} keyOf=${idOf} empty=${t ? 'No session that matches has sent in the last minute.' : 'Asking …'} />
    ${t?.unmeasured > 0 && html`<p class="note">${count(t.unmeasured)} more have sent and are not measured yet, or are too many to be.</p>`}
    ${ending && html`<${End} session=${ending} close=${() => setEnding(null)} />`}
  </${Panel}>`;
}
