// Events as they come. The stream is open while this view is.
import { html } from './html.js';
import { useEffect, useRef, useState } from './vendor/hooks.js';
import { lines, Refusal } from './api.js';
import { isWatched } from './live.js';
import { Failed, Panel, Table } from './parts.js';
import { clock } from './format.js';

const kinds = { configuration: 'Configuration', drop: 'Drops', other: 'Other', session: 'Sessions', binding: 'Bindings' };
const most = 300; // rows; what is older goes
const recent = 40; // rows in which an event is looked for again
const hour = 3600_000;

// follow keeps a stream open until it is aborted, and tells what came at most four times a second.
async function follow(query, from, signal, tell, say) {
  let waiting = [];
  const timer = setInterval(() => {
    if (!waiting.length) return;
    tell(waiting);
    waiting = [];
  }, 250);
  while (!signal.aborted) {
    try {
      say(null);
      await lines('/v1/events', { ...query, since: from.current, last: '100' }, signal, (list) => {
        waiting.push(...list);
        if (waiting.length > most) waiting = waiting.slice(-most); // the rest would not be seen
        from.current = new Date(Math.max(Date.parse(from.current), ...list.map((e) => Date.parse(e.time))) + 1).toISOString();
      });
    } catch (error) {
      if (signal.aborted) break;
      if (error instanceof Refusal) say(error);
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
  clearInterval(timer);
}

// merged puts new events before the others. One that says what a recent one says takes its
// place: a flow that is dropped again and again is one row.
function merged(before, list, number) {
  let rows = before;
  for (const e of list) {
    const at = rows.findIndex((row, i) => i < recent && row.name === e.name && row.short === e.short);
    const times = at < 0 ? 1 : rows[at].times + 1;
    rows = [{ ...e, key: at < 0 ? number() : rows[at].key, times }, ...(at < 0 ? rows : rows.toSpliced(at, 1))];
  }
  return rows.slice(0, most);
}

const columns = [
  { title: 'Time', kind: 'time', cell: (e) => clock(e.time) },
  { title: 'Event', wide: true, cell: (e) => html`<span class=${`level ${e.level}`}>${e.name}</span>` },
  { title: 'Network', wide: true, cell: (e) => e.network ?? '' },
  { title: 'Endpoint', wide: true, cell: (e) => e.endpoint ?? '' },
  { title: 'Times', num: true, wide: true, cell: (e) => (e.times > 1 ? e.times : '') },
  { title: 'What', kind: 'text', cell: (e) => html`<span title=${e.message}>${e.short}</span>` },
];

export function Events() {
  const [chosen, setChosen] = useState(['configuration', 'drop', 'other']);
  const [rows, setRows] = useState([]);
  const [match, setMatch] = useState('');
  const [failed, setFailed] = useState(null);
  const number = useRef(0);
  const wanted = chosen.join(',');
  const watched = isWatched();
  const from = useRef('');
  useEffect(() => {
    setRows([]);
    from.current = new Date(Date.now() - hour).toISOString();
  }, [wanted]);
  useEffect(() => {
    if (!wanted || !watched) return undefined;
    const stop = new AbortController();
    const add = (list) => setRows((before) => merged(before, list, () => number.current++));
    follow({ kinds: wanted }, from, stop.signal, add, setFailed);
    return () => stop.abort();
  }, [wanted, watched]);
  const toggle = (kind) => setChosen((list) => (list.includes(kind) ? list.filter((k) => k !== kind) : [...list, kind]));
  const text = match.toLowerCase();
  const shown = rows.filter((e) => !text || `${e.name} ${e.short} ${e.network} ${e.endpoint}`.toLowerCase().includes(text));
  return html`<${Panel} title="Events" kind="events" note="Drops and ends of sessions of the last hour, and what comes" tools=${html`
    <fieldset class="choice"><legend class="unseen">Kinds</legend>${Object.entries(kinds).map(([kind, title]) => html`<label class="check"><input type="checkbox" checked=${chosen.includes(kind)} onChange=${() => toggle(kind)} />${title}</label>`)}</fieldset>
    <label class="field"><span class="unseen">Filter</span><input type="search" placeholder="Filter" value=${match} onInput=${(event) => setMatch(event.currentTarget.value)} /></label>`}>
    <${Failed} of=${failed} />
    <${Table} label="Events" columns=${columns} rows=${shown} keyOf=${(e) => e.key} empty=${wanted ? 'Nothing yet. What happens appears here.' : 'No kind is chosen.'} />
  </${Panel}>`;
}
