// The page: its head, its views, and who is let in.
import { html } from './html.js';
import { render } from './vendor/preact.js';
import { useEffect, useRef, useState } from './vendor/hooks.js';
import { hasToken, setToken, takeToken } from './api.js';
import { changed, hurry, live, start, useLive } from './live.js';
import { clock } from './format.js';
import { Overview } from './overview.js';
import { Sessions } from './sessions.js';
import { Events } from './events.js';
import { Drops } from './drops.js';
import { Ports } from './ports.js';
import { Pools } from './pools.js';

const views = {
  overview: { title: 'Overview', view: Overview }, sessions: { title: 'Sessions', view: Sessions }, events: { title: 'Events', view: Events },
  drops: { title: 'Drops', view: Drops }, ports: { title: 'Ports', view: Ports }, pools: { title: 'Pools', view: Pools },
};

// placeOf reads "#sessions?endpoint=c1".
function placeOf(hash) {
  const [name, query] = hash.slice(1).split('?');
  return { name: views[name] ? name : 'overview', parameters: new URLSearchParams(query) };
}

function usePlace() {
  const [place, setPlace] = useState(placeOf(location.hash));
  useEffect(() => {
    const moved = () => {
      if (location.hash.startsWith('#token=')) return letIn();
      setPlace(placeOf(location.hash));
    };
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  return place;
}

function letIn() {
  takeToken();
  live.state = 'starting';
  start();
  changed();
}

const states = { starting: 'Connecting …', live: 'Live', lost: 'The daemon does not answer; traffic goes on. Trying again …', refused: 'The token is not taken' };

function State() {
  const over = Math.round((live.traffic?.milliseconds ?? 0) / 1000);
  const text = live.paused ? 'Paused' : live.state === 'live' && over > 4 ? `Live, read each ${over} s` : states[live.state];
  return html`<p class="link" role="status"><span class=${`dot ${live.paused ? 'idle' : live.state}`} aria-hidden="true"></span>${text}</p>`;
}

function Head({ name }) {
  const pause = () => {
    live.paused = !live.paused;
    changed();
    hurry();
  };
  return html`<header class="head">
    <div class="brand"><svg viewBox="0 0 16 16" aria-hidden="true"><rect width="16" height="16" rx="3" /><path d="M3 8h4m2-4h4M9 8h4m-4 4h4M7 8c1.5 0 .5-4 2-4M7 8h2M7 8c1.5 0 .5 4 2 4" /></svg>hostnat</div>
    <nav aria-label="Views">${Object.entries(views).map(([key, v]) => html`<a href=${`#${key}`} aria-current=${key === name ? 'page' : undefined}>${v.title}</a>`)}</nav>
    <div class="end"><${State} /><button onClick=${pause} aria-pressed=${live.paused}>Pause</button></div>
  </header>`;
}

function Door() {
  const field = useRef(null);
  const open = (event) => {
    event.preventDefault();
    setToken(field.current.value.trim().replace(/^.*#token=/, ''));
    live.state = 'starting';
    start();
    changed();
  };
  return html`<main class="door"><section class="panel">
    <h1>hostnat</h1>
    <p>${live.state === 'refused' ? 'The daemon does not take this token: it has another one since its run directory was emptied.' : 'This page needs a token.'} Open the URL that this prints, as root or as a member of the group <code>hostnat</code>:</p>
    <p><code>hostnat web</code></p>
    <form onSubmit=${open}><label class="field grow">or paste it here <input ref=${field} type="password" required autocomplete="off" /></label><button class="main">Open</button></form>
  </section></main>`;
}

function App() {
  useLive();
  const { name, parameters } = usePlace();
  const main = useRef(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${views[name].title} – hostnat`;
    if (!first.current) scrollTo(0, 0);
    first.current = false;
  }, [name]);
  if (!hasToken() || live.state === 'refused') return html`<${Door} />`;
  const { title, view: View } = views[name];
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>To the content</a>
    <${Head} name=${name} />
    <main id="main" tabindex="-1" ref=${main}><h1 class="unseen">${title}</h1><${View} key=${name} parameters=${parameters} /></main>
    <footer>${live.status && html`hostnat ${live.status.version}, started ${clock(live.started)}`}</footer>`;
}

takeToken();
const root = document.getElementById('app');
root.replaceChildren();
render(html`<${App} />`, root);
if (hasToken()) start();
