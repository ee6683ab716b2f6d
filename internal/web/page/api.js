// The daemon's API, asked with the token. The token comes behind the # of the URL, so it is
// sent to nobody and stays out of logs; it is kept for as long as the tab is open.
const key = 'hostnat-token';

export function takeToken() {
  const found = /^#token=([0-9a-f]+)$/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem(key, found[1]);
  history.replaceState(null, '', '#overview');
}

export const hasToken = () => sessionStorage.getItem(key) !== null;
export const setToken = (token) => sessionStorage.setItem(key, token);

// Refusal is what the daemon answers instead: it has a code, a message and perhaps a hint.
export class Refusal extends Error {
  constructor(status, body) {
    const error = body?.error ?? {};
    super(error.message ?? `the daemon answered ${status}`);
    this.status = status;
    this.hint = error.hint ?? '';
  }
}

export async function send(method, path, { query, body, signal } = {}) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== '' && value !== undefined);
  const url = given.length ? `${path}?${new URLSearchParams(given)}` : path;
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(key) ?? ''}` };
  if (body) headers['Content-Type'] = 'application/json';
  const answer = await fetch(url, { method, headers, signal, body: body && JSON.stringify(body), cache: 'no-store', redirect: 'error' });
  if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => null));
  return answer;
}

export const get = async (path, query, signal) => (await send('GET', path, { query, signal })).json();

// lines calls each with the objects of a stream, one a line, until it ends.
export async function lines(path, query, signal, each) {
  const answer = await send('GET', path, { query, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    each(parts.filter(Boolean).map((line) => JSON.parse(line)));
  }
}
