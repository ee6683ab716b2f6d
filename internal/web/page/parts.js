// Pieces of which the views are made.
import { html } from './html.js';
import { useEffect, useRef, useState } from './vendor/hooks.js';
import { bytes, rate } from './format.js';

const mostRows = 1000; // of a table: more are not read, and cost the browser much

// Table shows rows. A column has a title and a cell; num is set right, wide ones are left
// out on a phone. A cell is a text or a piece of a view.
export function Table({ label, columns, rows, keyOf, empty = 'None.' }) {
  if (!rows.length) return html`<p class="empty">${empty}</p>`;
  const kind = (column) => [column.num && 'num', column.wide && 'wide', column.kind].filter(Boolean).join(' ');
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table>
      <thead><tr>${columns.map((c) => html`<th scope="col" class=${kind(c)}>${c.title}</th>`)}</tr></thead>
      <tbody>${rows.slice(0, mostRows).map((row, i) => html`<tr key=${keyOf ? keyOf(row) : i}>${columns.map((c) => html`<td class=${kind(c)}>${c.cell(row)}</td>`)}</tr>`)}</tbody>
    </table>
    ${rows.length > mostRows && html`<p class="empty">and ${rows.length - mostRows} more</p>`}
  </div>`;
}

// Panel is a part of a view with its title.
export const Panel = ({ title, note, tools, children, kind }) => html`<section class=${`panel ${kind ?? ''}`}>
  <header><h2>${title}</h2>${note && html`<p class="note">${note}</p>`}${tools && html`<div class="tools">${tools}</div>`}</header>
  ${children}
</section>`;

// Picture is a chart or a drawing, with a table of the same behind it.
export const Picture = ({ title, note, tools, table, children, kind }) => html`<${Panel} title=${title} note=${note} tools=${tools} kind=${kind}>
  <div class="picture">${children}</div>
  <${Behind} title=${title} table=${table} />
</${Panel}>`;

function Behind({ title, table }) {
  const [open, setOpen] = useState(false);
  return html`<details class="behind" onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary>As a table<span class="unseen">: ${title}</span></summary>${open && table()}
  </details>`;
}

export const Rates = ({ of }) => html`<span class="rates"><span class="unseen">out </span>↑ ${rate(of.bytesOut)}<br /><span class="unseen">in </span>↓ ${rate(of.bytesIn)}</span>`;

export const rateColumns = (of) => [
  { title: 'Out', num: true, cell: (row) => rate(of(row).bytesOut) },
  { title: 'In', num: true, cell: (row) => rate(of(row).bytesIn) },
];

export const Dot = ({ is }) => html`<span class=${`dot ${is}`} aria-hidden="true"></span>`;

export const Failed = ({ of }) => of && html`<p class="failed" role="alert">${of.message}${of.hint && html`<span class="hint"> ${of.hint}</span>`}</p>`;

// Remedies are commands that would change what was decided.
export const Remedies = ({ of }) => of?.length > 0 && html`<ul class="remedies">
  ${of.map((r) => html`<li>${r.object && html`<span>${r.object}: </span>`}<code>${r.command}</code></li>`)}
</ul>`;

// Bar shows how full something is.
export const Bar = ({ part, label }) => html`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=${label}>
  <rect width="100" height="6" class="all" /><rect width=${Math.min(100, part)} height="6" class=${part > 90 ? 'full' : 'part'} />
</svg>`;

// useWidth tells how wide an element is.
export function useWidth() {
  const element = useRef(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return [element, width];
}

// useLater gives a text that somebody types when he has stopped for a moment.
export function useLater(text) {
  const [later, setLater] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setLater(text), 250);
    return () => clearTimeout(timer);
  }, [text]);
  return later;
}

export const bothWays = (r) => `${bytes(r.bytesOut)} out, ${bytes(r.bytesIn)} in`;
