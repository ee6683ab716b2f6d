// What the daemon says, asked again and again while somebody looks. Lists that grow with the
// sessions are never asked for: the daemon sums.
import { useEffect, useState } from './vendor/hooks.js';
import { get, Refusal } from './api.js';

const often = 2000;
const kept = 900; // samples of the charts: half an hour of them

// What an answer costs the daemon is at most this part of its time: what takes it long is
// asked for less often.
const share = 200;

export const live = {
  state: 'starting', // starting, live, lost, refused
  paused: false,
  traffic: null, // sums, and the rows that the view shows
  query: {}, // of the rows
  status: null,
  started: 0, // the daemon, in milliseconds
  nats: [], addresses: [], networks: [], endpoints: [], mappings: [], proxies: [], ports: null,
  failed: {}, // what was refused, by its name
  samples: [], // {at, out, in, sessions, drops}
  pools: [], // {at, rows}
};

const readers = new Set();
export const changed = () => readers.forEach((reader) => reader());

// useLive renders a view again when something has come.
export function useLive() {
  const [, again] = useState(0);
  useEffect(() => {
    const reader = () => again((n) => n + 1);
    readers.add(reader);
    return () => readers.delete(reader);
  }, []);
  return live;
}

const wakers = new Map(); // by name of what waits
export const hurry = () => [...wakers.values()].forEach((wake) => wake());

// pause waits for a time, or until somebody is in a hurry.
const pause = (name, milliseconds) => new Promise((done) => {
  const wake = () => {
    clearTimeout(timer);
    wakers.delete(name);
    done();
  };
  const timer = setTimeout(wake, milliseconds);
  wakers.set(name, wake);
});

export const isWatched = () => !document.hidden && !live.paused;

async function repeat(name, ask, every) {
  for (;;) {
    if (!isWatched() || live.state === 'refused') {
      await pause(name, 60_000); // hurry() comes before
      continue;
    }
    const began = performance.now();
    try {
      await ask();
      live.state = 'live';
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) live.state = 'refused';
      else if (!(error instanceof Refusal)) live.state = 'lost';
      changed();
      await pause(name, 1000);
      continue;
    }
    changed();
    await pause(name, every(performance.now() - began));
  }
}

async function askTraffic() {
  const query = live.query;
  const traffic = await get('/v1/traffic', query);
  if (query !== live.query) return; // another view by now
  const isNew = traffic.at !== live.traffic?.at;
  live.traffic = traffic;
  if (!isNew || !traffic.milliseconds) return;
  const dropped = traffic.drops.reduce((sum, drop) => sum + drop.latest, 0);
  live.samples.push({
    at: Date.parse(traffic.at) / 1000, out: traffic.total.bytesOut, in: traffic.total.bytesIn, sessions: traffic.sessions,
    opened: (traffic.opened * 1000) / traffic.milliseconds, drops: (dropped * 1000) / traffic.milliseconds,
  });
  live.samples.splice(0, live.samples.length - kept);
}

// A part that is refused leaves the others as they are.
async function askFor(name) {
  try {
    live[name] = await get(`/v1/${name}`);
    delete live.failed[name];
  } catch (error) {
    if (!(error instanceof Refusal) || error.status === 401) throw error;
    live.failed[name] = error;
  }
}

async function askStatus() {
  await askFor('status');
  if (live.status) live.started = Date.now() - live.status.uptimeSeconds * 1000;
}

async function askPorts() {
  await askFor('ports');
  if (!live.ports) return;
  live.pools.push({ at: Date.now() / 1000, rows: live.ports.filter((port) => port.kind === 'dynamic') });
  live.pools.splice(0, live.pools.length - kept);
}

const shared = (least) => (took) => Math.max(least, share * took);

let isStarted = false;

export function start() {
  if (isStarted) return hurry();
  isStarted = true;
  repeat('traffic', askTraffic, () => Math.max(often, (live.traffic?.milliseconds ?? 0) / 4));
  repeat('status', askStatus, shared(10_000));
  for (const name of ['nats', 'addresses', 'networks', 'endpoints', 'mappings', 'proxies']) repeat(name, () => askFor(name), shared(5000));
  repeat('ports', askPorts, (took) => (live.pools.length < 2 ? often : Math.max(10_000, share * took)));
  document.addEventListener('visibilitychange', () => {
    changed();
    hurry();
  });
}

export function show(query) {
  if (JSON.stringify(query) === JSON.stringify(live.query)) return;
  live.query = query;
  wakers.get('traffic')?.();
}
