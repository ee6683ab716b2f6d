// Values as people read them.
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

// short keeps three digits: 1.24, 12.4, 124.
const short = (n) => (n >= 99.95 || Number.isInteger(n) ? Math.round(n).toString() : n >= 9.995 ? n.toFixed(1) : n.toFixed(2));

export function bytes(n) {
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${short(n)} ${units[unit]}`;
}

export const rate = (n) => (n ? `${bytes(n)}/s` : '0');

// count has its thousands apart; above a million it is rounded.
export const count = (n) => (n >= 1e7 ? `${short(n / 1e6)} M` : n.toLocaleString('en-US'));

export function perSecond(n, milliseconds) {
  if (!milliseconds) return '–';
  const each = (n * 1000) / milliseconds;
  return each === 0 ? '0' : each < 10 ? each.toFixed(1) : count(Math.round(each));
}

export const percent = (part, all) => (all ? (100 * part) / all : 0);
export const percentText = (p) => (p === 0 ? '0 %' : p < 0.1 ? '< 0.1 %' : `${p < 10 ? p.toFixed(1) : Math.round(p)} %`);

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${s % 60 ? ` ${s % 60}s` : ''}`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86400)}d ${Math.floor((s % 86400) / 3600)}h`;
}

export const since = (time, now = Date.now()) => duration((now - Date.parse(time)) / 1000);

// clock is the time of day, with the date if that is another day's.
export function clock(time) {
  const at = new Date(time);
  const text = at.toLocaleTimeString('en-GB');
  return at.toDateString() === new Date().toDateString() ? text : `${at.toLocaleDateString('en-CA')} ${text}`;
}

export const total = (r) => r.bytesOut + r.bytesIn;
export const noRate = { bytesOut: 0, bytesIn: 0, packetsOut: 0, packetsIn: 0 };
export const plus = (a, b) => ({
  bytesOut: a.bytesOut + b.bytesOut, bytesIn: a.bytesIn + b.bytesIn, packetsOut: a.packetsOut + b.packetsOut, packetsIn: a.packetsIn + b.packetsIn,
});
