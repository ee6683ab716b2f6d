// What was dropped, what failed and why, and what would become of a packet.
import { html } from './html.js';
import { useEffect, useState } from './vendor/hooks.js';
import { get, send } from './api.js';
import { isWatched, live, show } from './live.js';
import { Failed, Panel, Remedies, Table } from './parts.js';
import { clock, count, perSecond } from './format.js';

const spans = { 600: '10 minutes', 3600: 'hour', 86400: 'day' };

function Reasons() {
  const t = live.traffic;
  return html`<${Panel} title="Dropped packets" note="By reason, since the data path is there">
    <${Table} label="Dropped packets by reason" rows=${t?.drops ?? []} keyOf=${(d) => d.reason} empty="Nothing was dropped." columns=${[
      { title: 'Reason', kind: 'key', cell: (d) => d.reason }, { title: 'Now/s', num: true, cell: (d) => perSecond(d.latest, t.milliseconds) },
      { title: 'Packets', num: true, cell: (d) => count(d.packets) }, { title: 'Meaning', kind: 'text', cell: (d) => d.meaning }]} />
  </${Panel}>`;
}

function useHistory(span) {
  const [history, setHistory] = useState(null);
  const [failed, setFailed] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    const ask = async () => {
      if (!isWatched()) return;
      try {
        setHistory(await get('/v1/history', { since: new Date(Date.now() - span * 1000).toISOString() }, stop.signal));
        setFailed(null);
      } catch (error) {
        if (!stop.signal.aborted) setFailed(error);
      }
    };
    ask();
    const timer = setInterval(ask, 10_000);
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [span]);
  return [history, failed];
}

const shown = 6;

// Cause is a reason, and the flows that came to their end by it.
function Cause({ flows }) {
  const [first] = flows;
  return html`<p class="head"><span class=${`tag ${first.outcome}`}>${first.reason || first.outcome}</span> ${first.meaning}</p><${Remedies} of=${first.remedies} />
    <ul class="flows">${flows.slice(0, shown).map((f) => html`<li key=${f.what}><span>${f.what}</span><span class="when">${f.count === 1 ? 'once' : `${count(f.count)} times`}, last ${clock(f.last)}</span></li>`)}
      ${flows.length > shown && html`<li class="note">and ${count(flows.length - shown)} more like these</li>`}</ul>`;
}

function Failures() {
  const [span, setSpan] = useState(3600);
  const [history, failed] = useHistory(span);
  const list = history?.failures ?? [];
  const causes = [...Map.groupBy(list, (f) => JSON.stringify([f.outcome, f.reason, f.meaning, f.remedies]))];
  return html`<${Panel} title="What failed" note="From the kernel's flight recorder, the latest first" tools=${html`
    <label class="field">Last <select value=${span} onChange=${(event) => setSpan(Number(event.currentTarget.value))}>${Object.entries(spans).map(([value, title]) => html`<option value=${value}>${title}</option>`)}</select></label>`}>
    <${Failed} of=${failed} />
    ${history && !list.length && html`<p class="empty">Nothing has failed.</p>`}
    <ol class="failures">${causes.map(([cause, flows]) => html`<li key=${cause}><${Cause} flows=${flows} /></li>`)}</ol>
  </${Panel}>`;
}

const verdicts = { sent: 'It is sent', left: 'hostnat leaves it to the host', dropped: 'It is dropped' };

function Answer({ of: e }) {
  return html`<div class="answer" role="status">
    <p class="head"><span class=${`tag ${e.verdict}`}>${verdicts[e.verdict] ?? e.verdict}</span></p>
    <p>${e.summary}</p>${e.meaning && html`<p>${e.meaning}</p>`}<${Remedies} of=${e.remedies} />
    <${Table} label="Steps of the packet" rows=${e.steps} columns=${[{ title: 'Step', kind: 'key', cell: (s) => s.step }, { title: 'Found', kind: 'text', cell: (s) => s.found }]} />
  </div>`;
}

function Explain() {
  const [packet, setPacket] = useState({ protocol: 'tcp', from: '', to: '' });
  const [answer, setAnswer] = useState(null);
  const [failed, setFailed] = useState(null);
  const [busy, setBusy] = useState(false);
  const put = (key) => (event) => {
    const { value } = event.currentTarget;
    setPacket((before) => ({ ...before, [key]: value.trim() }));
  };
  const ask = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      setAnswer(await (await send('POST', '/v1/explain', { body: packet })).json());
      setFailed(null);
    } catch (error) {
      setAnswer(null);
      setFailed(error);
    }
    setBusy(false);
  };
  return html`<${Panel} title="Explain a packet" note="The data path's own programs decide, and nothing is changed">
    <form class="explain" onSubmit=${ask}>
      <label class="field">Protocol <select value=${packet.protocol} onChange=${put('protocol')}>${['tcp', 'udp', 'icmp'].map((p) => html`<option>${p}</option>`)}</select></label>
      <label class="field grow">From <input required placeholder="c1:40000" list="endpoints" value=${packet.from} onInput=${put('from')} /></label>
      <label class="field grow">To <input required placeholder="198.51.100.7:443" value=${packet.to} onInput=${put('to')} /></label>
      <button class="main" disabled=${busy}>Explain</button>
      <datalist id="endpoints">${live.endpoints.slice(0, 200).map((e) => html`<option value=${e.name} />`)}</datalist>
    </form>
    <${Failed} of=${failed} />${answer && html`<${Answer} of=${answer} />`}
  </${Panel}>`;
}

export function Drops() {
  useEffect(() => show({ count: 1 }), []);
  return html`<${Reasons} /><${Explain} /><${Failures} />`;
}
