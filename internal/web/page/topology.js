// Where the boxes of the picture are: outside links, NATs, networks, endpoints. Pure: no
// element is touched here.
import { noRate, plus, total } from './format.js';

const mostEndpoints = 28; // more are summed up
const mostNetworks = 30; // likewise

// busiest are the first by what they send, and then by name; the rest are left out.
const busiest = (list, most) => list.toSorted((a, b) => total(b.rate) - total(a.rate) || byName(a, b)).slice(0, most).sort(byName);

const byName = (a, b) => a.name.localeCompare(b.name, 'en', { numeric: true });

// tree says what is behind what, and what each sends.
export function tree({ addresses, nats, networks: configured, endpoints, traffic }) {
  const externals = traffic?.externals ?? [];
  const sum = (list) => list.reduce((all, row) => plus(all, row.rate), noRate);
  const links = [...Map.groupBy(addresses, (a) => a.interface || 'no link')].map(([name, list]) => ({
    id: `link ${name}`, kind: 'link', name, detail: [...new Set(list.map((a) => a.address))], nats: [...new Set(list.map((a) => a.nat))],
    rate: sum(externals.filter((e) => list.some((a) => a.address === e.address && a.nat === e.nat))),
  }));
  const sent = new Map((traffic?.networks ?? []).map((n) => [n.network, n]));
  const rated = new Map((traffic?.endpoints ?? []).map((e) => [`${e.network} ${e.endpoint}`, e]));
  const of = Map.groupBy(endpoints, (e) => e.network);
  const share = Math.max(3, Math.floor(mostEndpoints / Math.max(1, configured.length)));
  const inside = configured.map((n) => {
    const all = (of.get(n.name) ?? []).map((e) => ({
      id: `endpoint ${n.name} ${e.name}`, kind: 'endpoint', name: e.name, detail: [...e.addresses, e.state === 'absent' ? 'absent' : ''].filter(Boolean),
      state: e.state, rate: rated.get(`${n.name} ${e.name}`)?.rate ?? noRate, sessions: rated.get(`${n.name} ${e.name}`)?.sessions ?? 0,
    }));
    const shown = busiest(all, all.length > share + 1 ? share : all.length);
    const rest = all.filter((e) => !shown.includes(e));
    if (rest.length) {
      shown.push({ id: `rest ${n.name}`, kind: 'rest', name: `${rest.length} more`, detail: [], network: n.name, rate: rest.reduce((sum, e) => plus(sum, e.rate), noRate), sessions: 0 });
    }
    return {
      id: `network ${n.name}`, kind: 'network', name: n.name, nat: n.type === 'internal' ? '' : n.nat, detail: [...n.subnets, n.type === 'nat' ? '' : n.type].filter(Boolean),
      rate: sent.get(n.name)?.rate ?? noRate, sessions: sent.get(n.name)?.sessions ?? 0, endpoints: shown, all,
    };
  });
  const networks = busiest(inside, mostNetworks);
  const translators = nats.map((n) => ({
    id: `nat ${n.name}`, kind: 'nat', name: n.name, detail: [n.profile],
    rate: sum(externals.filter((e) => e.nat === n.name)), links: links.filter((l) => l.nats.includes(n.name)), networks: networks.filter((i) => i.nat === n.name),
  }));
  return { links, nats: translators, networks, all: inside, left: inside.length - networks.length };
}

// A column's boxes are as high as this, and so far from each other.
const sizes = { link: [46, 14], nat: [46, 14], network: [46, 14], endpoint: [36, 6] };

// stack puts boxes below each other, each as near as it may to where it wants to be.
function stack(boxes, kind) {
  const [height, gap] = sizes[kind];
  let next = 0;
  for (const box of boxes) {
    box.y = Math.max(next, (box.wish ?? next + height / 2) - height / 2);
    box.height = height;
    next = box.y + height + gap;
  }
  return next - gap;
}

const middle = (boxes) => (boxes.length ? boxes.reduce((sum, box) => sum + box.y + box.height / 2, 0) / boxes.length : undefined);

const line = (a, b, rate) => ({ id: `${a.id} ${b.id}`, from: a, to: b, rate });

// thicken makes lines as thick as their part of the busiest one asks for.
function thicken(lines) {
  const most = Math.max(1, ...lines.map((l) => total(l.rate)));
  for (const l of lines) l.thick = 1.25 + 7 * Math.sqrt(total(l.rate) / most);
}

// wide has a column for each kind, the outside at the left.
export function wide(world, width) {
  const gap = Math.max(36, Math.min(96, width * 0.07));
  const box = (width - 3 * gap) / 4;
  const column = { link: 0, nat: 1, network: 2, endpoint: 3, rest: 3 };
  const order = [...world.nats.flatMap((n) => n.networks), ...world.networks.filter((n) => !world.nats.some((t) => t.name === n.nat))];
  const endpoints = [];
  let y = 0;
  const [high, apart] = sizes.endpoint;
  for (const network of order) { // its endpoints are beside its middle
    const all = Math.max(0, network.endpoints.length * (high + apart) - apart);
    const place = Math.max(all, sizes.network[0]);
    network.endpoints.forEach((e, i) => Object.assign(e, { y: y + (place - all) / 2 + i * (high + apart), height: high }));
    endpoints.push(...network.endpoints);
    network.wish = y + place / 2;
    y += place + sizes.network[1];
  }
  let height = Math.max(y - sizes.network[1], stack(order, 'network'));
  for (const nat of world.nats) nat.wish = middle(nat.networks);
  height = Math.max(height, stack(world.nats, 'nat'));
  for (const link of world.links) link.wish = middle(world.nats.filter((n) => n.links.includes(link)));
  const links = [...world.links].sort((a, b) => (a.wish ?? 1e9) - (b.wish ?? 1e9));
  height = Math.max(height, stack(links, 'link'));
  const boxes = [...links, ...world.nats, ...order, ...endpoints];
  for (const b of boxes) Object.assign(b, { x: column[b.kind] * (box + gap), width: box });
  const lines = [
    ...world.nats.flatMap((n) => n.links.map((l) => line(l, n, l.nats.length > 1 ? noRate : l.rate))),
    ...order.flatMap((n) => world.nats.filter((t) => t.name === n.nat).map((t) => line(t, n, n.rate))),
    ...order.flatMap((n) => n.endpoints.map((e) => line(n, e, e.rate))),
  ];
  thicken(lines);
  return { boxes, lines, width, height: Math.max(height, 46) };
}

// narrow is a tree with a row for each, for phones.
export function narrow(world, width) {
  const boxes = [];
  const lines = [];
  let y = 0;
  const put = (box, depth, parent) => {
    const place = { ...box, x: depth * 16, y, width: width - depth * 16, height: 40, parent };
    boxes.push(place);
    if (parent) lines.push(line(parent, place, box.rate));
    y += 46;
    return place;
  };
  for (const link of world.links) put(link, 0);
  const below = (network, parent, depth) => {
    const at = put(network, depth, parent);
    for (const e of network.endpoints) put(e, depth + 1, at);
  };
  for (const nat of world.nats) {
    const at = put(nat, 0);
    for (const network of nat.networks) below(network, at, 1);
  }
  for (const network of world.networks) if (!world.nats.some((t) => t.name === network.nat)) below(network, undefined, 0);
  return { boxes, lines, width, height: Math.max(40, y - 6), isTree: true };
}
