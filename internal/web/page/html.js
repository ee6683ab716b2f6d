// What every view is written with. Texts become text nodes: nothing is ever read as HTML.
import { h } from './vendor/preact.js';
import htm from './vendor/htm.js';

export const html = htm.bind(h);
