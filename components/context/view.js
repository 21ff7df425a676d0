// Draws where the tokens of a prompt look: arcs over the sentence, a table, all layers and heads.
// The data come from `view.view_html`. Layer, head and token are chosen here, without the
// server, and survive a changed prompt. Texts of visitors only ever become textContent.
const state = { layer: 0, head: -1, token: null, hover: null };
const SVG = "http://www.w3.org/2000/svg";
const TELL = 0.05; // weights from here on are named in the sentence
let data = null, weights = null, parts = null;
let first = true; // what the address asks for, is asked once

const { el, fill, percent, quote, say } = window.steuervektor;

/** The weights of one layer and head, or the mean of its heads, as rows. */
function table(layer, head) {
  const n = data.tokens.length;
  const size = data.causal ? (n * (n + 1)) / 2 : n * n;
  const rows = Array.from({ length: n }, () => new Float32Array(n));
  const heads = head < 0 ? Array.from({ length: data.heads }, (_, h) => h) : [head];
  for (const h of heads) {
    let at = (layer * data.heads + h) * size;
    for (let i = 0; i < n; i++)
      for (let j = 0; j < (data.causal ? i + 1 : n); j++) rows[i][j] += weights[at++] / 255 / heads.length;
  }
  return rows;
}
const isClosed = (from, to) => data.causal && to > from;

/** A colour of the scale. Its steps follow the square root: most weights are small. */
function colour(w) {
  const place = Math.sqrt(Math.min(w, 1)) * (data.scale.length - 1);
  const low = Math.min(Math.floor(place), data.scale.length - 2), part = place - low;
  const channels = [low, low + 1].map((k) => [1, 3, 5].map((c) => parseInt(data.scale[k].slice(c, c + 2), 16)));
  return `rgb(${channels[0].map((c, k) => Math.round(c + part * (channels[1][k] - c))).join(",")})`;
}

// The parts, built once for every prompt --------------------------------------------------------

function token() {
  const found = data.tokens.findIndex(([, name]) => name === state.token);
  return found < 0 ? data.start : found;
}
function controls() {
  const { labels, layers, heads } = data;
  const bar = el("div", "cx-controls");
  const slider = el("input", "cx-layer", undefined, { type: "range", min: 1, max: layers, step: 1, "aria-label": labels.layer });
  slider.addEventListener("input", () => choose(Number(slider.value) - 1, state.head));
  const shown = el("output", "cx-shown");
  const left = el("label", "cx-slider");
  left.append(el("span", "", labels.layer), slider, shown);
  const group = el("div", "cx-heads", undefined, { role: "group", "aria-label": labels.head });
  group.append(el("span", "", labels.head));
  const buttons = Array.from({ length: heads + 1 }, (_, k) => {
    const node = el("button", "cx-button", k ? String(k) : labels.mean, { type: "button", "aria-label": k ? fill(labels.head_n, { head: k }) : labels.mean });
    node.addEventListener("click", () => choose(state.layer, k - 1));
    group.append(node);
    return node;
  });
  bar.append(left, group);
  return { bar, slider, shown, buttons };
}
function chipOf([text, , back, ink, isMark, isUnread], tag = "span") {
  const node = el(tag, "cx-chip" + (isMark ? " cx-mark" : "") + (isUnread ? " cx-unread" : ""), text, { dir: "auto", translate: "no" });
  node.style.setProperty("--c", back);
  node.style.setProperty("--ink", ink);
  return node;
}
function stage() {
  const box = el("div", "cx-stage");
  const inner = el("div", "cx-inner");
  const arcs = document.createElementNS(SVG, "svg");
  arcs.setAttribute("class", "cx-arcs");
  arcs.setAttribute("aria-hidden", "true");
  const row = el("div", "cx-row", undefined, { role: "radiogroup", "aria-label": data.labels.tokens });
  const chips = data.tokens.map((entry, i) => {
    const node = el("button", "cx-token", undefined, { type: "button", role: "radio" });
    const share = el("span", "cx-share");
    const chip = chipOf(entry);
    // which of its like it is, for those who cannot see where it stands
    if (entry[1] !== entry[0]) chip.setAttribute("aria-label", entry[1]);
    node.append(chip, " ", share);
    node.addEventListener("click", () => select(i));
    node.addEventListener("mouseenter", () => { state.hover = i; paintLook(); });
    node.addEventListener("mouseleave", () => { state.hover = null; paintLook(); });
    row.append(node);
    return { node, share };
  });
  row.addEventListener("keydown", (event) => {
    const last = chips.length - 1, now = token();
    const to = { ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(Math.max(0, Math.min(last, to)));
    chips[token()].node.focus();
  });
  const veil = el("span", "cx-veil", data.labels.triangle, { "aria-hidden": "true" });
  inner.append(arcs, veil, row);
  box.append(inner);
  return { box, inner, arcs, veil, chips };
}
function matrix() {
  const n = data.tokens.length;
  const box = el("div", "cx-matrix");
  const grid = el("div", "cx-grid");
  grid.style.setProperty("--n", n);
  const short = n > 28 ? "cx-many" : "";
  const heads = el("div", "cx-columns " + short, undefined, { "aria-hidden": "true" });
  const sides = el("div", "cx-rows " + short, undefined, { "aria-hidden": "true" });
  const names = data.tokens.map((entry) => {
    const column = el("span");
    column.append(chipOf(entry));
    heads.append(column);
    const side = el("span");
    side.append(chipOf(entry));
    sides.append(side);
    return side;
  });
  const area = el("div", "cx-area");
  const canvas = el("canvas", "", undefined, { role: "img" });
  const frame = el("i", "cx-frame");
  area.append(canvas, frame);
  if (data.causal && n > 3) area.append(el("span", "cx-closed-note", data.labels.triangle));
  grid.append(heads, sides, area);
  const told = el("p", "cx-told");
  box.append(el("h4", "", data.labels.matrix), el("p", "cx-soft", data.labels.rows), grid, told, legend());
  const place = (event) => {
    const rect = canvas.getBoundingClientRect();
    const cell = (v, size) => Math.max(0, Math.min(n - 1, Math.floor((v / size) * n)));
    return [cell(event.clientY - rect.top, rect.height), cell(event.clientX - rect.left, rect.width)];
  };
  canvas.addEventListener("mousemove", (event) => tell(...place(event)));
  canvas.addEventListener("mouseleave", () => tell());
  canvas.addEventListener("click", (event) => select(place(event)[0]));
  return { box, canvas, frame, told, names, area };
}
function legend() {
  const box = el("div", "cx-legend");
  const bar = el("i", "cx-ramp");
  const stops = Array.from({ length: 11 }, (_, k) => `${colour((k / 10) ** 2)} ${10 * k}%`);
  bar.style.background = `linear-gradient(to right, ${stops.join(",")})`;
  const ticks = el("div", "cx-ticks");
  for (const w of [0, 0.1, 0.25, 0.5, 1]) {
    const tick = el("span", "", percent(w));
    tick.style.left = `${100 * Math.sqrt(w)}%`;
    ticks.append(tick);
  }
  const scale = el("div", "cx-scale");
  scale.append(bar, ticks);
  box.append(el("span", "", data.labels.legend), scale);
  return box;
}
function overview() {
  const { labels, layers, heads } = data;
  const box = el("div", "cx-overview");
  const grid = el("div", "cx-small");
  grid.style.setProperty("--heads", heads + 1);
  grid.append(el("span", "cx-corner", `${labels.layer} ↓  ${labels.head} →`));
  for (let h = -1; h < heads; h++) grid.append(el("span", "cx-head", h < 0 ? "Ø" : String(h + 1)));
  const small = [];
  for (let layer = 0; layer < layers; layer++) {
    grid.append(el("span", "cx-side", String(layer + 1)));
    for (let head = -1; head < heads; head++) {
      const name = fill(head < 0 ? labels.cell_mean : labels.cell, { layer: layer + 1, head: head + 1 });
      const node = el("button", "cx-mini", undefined, { type: "button", title: name, "aria-label": name });
      const canvas = el("canvas");
      paintSmall(canvas, table(layer, head));
      node.append(canvas);
      node.addEventListener("click", () => choose(layer, head));
      grid.append(node);
      small.push({ node, layer, head });
    }
  }
  box.append(el("h4", "", labels.overview), el("p", "cx-soft", labels.overview_hint), grid);
  return { box, small };
}
function paintSmall(canvas, rows) {
  const n = rows.length;
  canvas.width = canvas.height = n;
  const draw = canvas.getContext("2d");
  rows.forEach((row, i) => row.forEach((w, j) => {
    if (isClosed(i, j)) return;
    draw.fillStyle = colour(w);
    draw.fillRect(j, i, 1, 1);
  }));
}

// Painting what is chosen -------------------------------------------------------------------------

function paintTable(rows) {
  const { canvas, area } = parts.matrix;
  const n = rows.length, dots = window.devicePixelRatio || 1;
  const cell = Math.max(2, Math.round((area.clientWidth * dots) / n));
  canvas.width = canvas.height = cell * n;
  const draw = canvas.getContext("2d");
  const gap = cell > 9 ? 1 : 0;
  draw.font = `600 ${Math.round(Math.max(14 * dots, Math.min(cell * 0.34, 18 * dots)))}px Inter, system-ui, sans-serif`;
  draw.textAlign = "center";
  draw.textBaseline = "middle";
  rows.forEach((row, i) => row.forEach((w, j) => {
    const [x, y] = [j * cell, i * cell];
    if (isClosed(i, j)) return hatch(draw, x, y, cell, gap);
    draw.fillStyle = colour(w);
    draw.fillRect(x, y, cell - gap, cell - gap);
    if (cell / dots < 30) return;
    draw.fillStyle = w > 0.22 ? "#14171c" : "#ffffff";
    draw.fillText(w > 0 && w < 0.005 ? "0" : String(Math.round(100 * w)), x + cell / 2, y + cell / 2);
  }));
}
function hatch(draw, x, y, cell, gap) {
  draw.fillStyle = "rgba(138, 143, 152, 0.16)";
  draw.fillRect(x, y, cell - gap, cell - gap);
}

/** The arcs, shares and sentence of the token that is chosen or under the pointer. */
function paintLook() {
  if (!parts) return;
  const from = state.hover ?? token();
  const row = parts.rows[from];
  parts.stage.chips.forEach(({ node, share }, i) => {
    const chosen = i === token();
    node.classList.toggle("cx-here", i === from);
    node.classList.toggle("cx-unseen", isClosed(from, i));
    node.setAttribute("aria-checked", chosen);
    node.tabIndex = chosen ? 0 : -1;
    share.textContent = isClosed(from, i) ? "–" : percent(row[i]);
  });
  drawArcs(from, row);
  drawVeil(from);
  say(parts.readout, sentence(from, row));
  const { frame, names } = parts.matrix;
  frame.style.top = `${(100 * from) / row.length}%`;
  frame.style.height = `${100 / row.length}%`;
  names.forEach((name, i) => name.classList.toggle("cx-here", i === from));
}
function drawArcs(from, row) {
  const { arcs, inner, chips } = parts.stage;
  arcs.style.width = "0"; // as wide as the row of tokens is now, not as it was
  const height = arcs.clientHeight, width = inner.scrollWidth;
  arcs.setAttribute("viewBox", `0 0 ${width} ${height}`);
  arcs.style.width = `${width}px`;
  const middle = (i) => chips[i].node.offsetLeft + chips[i].node.offsetWidth / 2;
  const x0 = middle(from), base = height - 1;
  const farthest = Math.max(...row.map((w, i) => (isClosed(from, i) ? 0 : Math.abs(middle(i) - x0) / 2)), 1);
  arcs.replaceChildren();
  row.forEach((w, to) => {
    if (isClosed(from, to) || w < 0.004) return;
    const path = document.createElementNS(SVG, "path");
    const x1 = middle(to), reach = Math.abs(x1 - x0) / 2;
    const tall = Math.min(reach, 26 + (height - 44) * (reach / farthest), height - 16);
    const over = to === from ? `M${x0 - 11} ${base} C${x0 - 34} ${base - 58} ${x0 + 34} ${base - 58} ${x0 + 11} ${base}`
      : `M${x0} ${base} A${reach} ${tall} 0 0 ${x1 > x0 ? 1 : 0} ${x1} ${base}`;
    path.setAttribute("d", over);
    path.setAttribute("stroke", data.tokens[to][2]);
    path.setAttribute("stroke-width", Math.max(1.2, 26 * w).toFixed(1));
    path.setAttribute("data-to", to);
    path.style.opacity = 0.35 + 0.65 * Math.min(1, 2 * w);
    arcs.append(path);
  });
}

/** Why the tokens after this one are pale, above them, where there is room to say it. */
function drawVeil(from) {
  const { veil, chips, box, inner } = parts.stage;
  const last = chips.at(-1).node, left = chips[from].node.offsetLeft + chips[from].node.offsetWidth + 24;
  const room = last.offsetLeft + last.offsetWidth - left;
  veil.hidden = !isClosed(from, chips.length - 1) || room < 200 || inner.scrollWidth > box.clientWidth;
  veil.style.left = `${left}px`;
  veil.style.width = `${room}px`;
}

/** The same in words: for those who cannot see the arcs, and for everybody who reads. */
function sentence(from, row) {
  const { labels, tokens } = data;
  const name = (i) => quote(tokens[i][1]);
  const order = [...row.keys()].filter((i) => !isClosed(from, i)).sort((a, b) => row[b] - row[a]);
  const named = order.filter((i, k) => row[i] >= TELL || k === 0).slice(0, 6);
  const list = named.map((i) => (i === from ? fill(labels.self, { share: percent(row[i]) }) : fill(labels.weight, { name: name(i), share: percent(row[i]) })));
  const key = state.head < 0 ? "readout_mean" : "readout";
  let text = fill(labels[key], { layer: state.layer + 1, head: state.head + 1, token: name(from), list: list.join(", ") });
  const closed = tokens.map((_, i) => i).filter((i) => isClosed(from, i)).map(name);
  if (closed.length) text += " " + fill(labels.closed, { list: closed.slice(0, 6).join(", ") }) + (closed.length > 6 ? " …" : ".");
  return text;
}
function tell(from, to) {
  const { labels, tokens } = data;
  const { told } = parts.matrix;
  say(told, from === undefined ? "\u00a0" : isClosed(from, to) ? labels.triangle
    : fill(labels.columns, { from: quote(tokens[from][1]), to: quote(tokens[to][1]), share: percent(parts.rows[from][to]) }));
}
function paint() {
  if (!parts || !element.isConnected) return;
  const { labels, layers } = data;
  parts.rows = table(state.layer, state.head);
  parts.controls.slider.value = state.layer + 1;
  const shown = fill(labels.of_layers, { layer: state.layer + 1, layers });
  parts.controls.shown.textContent = shown;
  parts.controls.slider.setAttribute("aria-valuetext", shown);
  parts.controls.buttons.forEach((node, k) => node.setAttribute("aria-pressed", k - 1 === state.head));
  for (const { node, layer, head } of parts.overview.small)
    node.setAttribute("aria-pressed", layer === state.layer && head === state.head);
  const name = fill(state.head < 0 ? labels.cell_mean : labels.cell, { layer: state.layer + 1, head: state.head + 1 });
  parts.matrix.canvas.setAttribute("aria-label", `${labels.matrix}. ${name}. ${labels.rows}`);
  paintTable(parts.rows);
  paintLook();
}
function choose(layer, head) {
  state.layer = layer;
  state.head = head;
  window.steuervektor.address({ "context.layer": layer + 1, "context.head": head < 0 ? null : head + 1 });
  paint();
}
function select(i) {
  state.token = data.tokens[i][1];
  window.steuervektor.address({ "context.token": i });
  state.hover = null;
  parts.gone.hidden = true;
  paintLook();
}

function build() {
  const host = element.querySelector(".cx-host");
  parts = null;
  if (!host) return;
  data = JSON.parse(host.dataset.context);
  weights = Uint8Array.from(atob(data.weights), (c) => c.charCodeAt(0));
  if (first) {
    const asked = window.steuervektor.askedNumber;
    state.layer = asked("context.layer", 1, data.layers, 1) - 1;
    state.head = asked("context.head", 1, data.heads, 0) - 1;
    state.token = data.tokens[asked("context.token", 0, data.tokens.length - 1, -1)]?.[1] ?? null;
    first = false;
  }
  state.layer = Math.min(state.layer, data.layers - 1);
  state.head = Math.min(state.head, data.heads - 1);
  state.hover = null;
  const gone = el("p", "cx-sentence cx-warn cx-gone", undefined, { role: "status" });
  const missing = state.token !== null && !data.tokens.some(([, name]) => name === state.token);
  gone.hidden = !missing;
  if (missing) say(gone, fill(data.labels.gone, { token: quote(state.token), shown: quote(data.tokens[data.start][1]) }));
  parts = { controls: controls(), stage: stage(), matrix: matrix(), overview: overview(), gone };
  parts.readout = el("p", "cx-sentence cx-readout", undefined, { role: "status" });
  const tables = el("div", "cx-tables");
  tables.append(parts.matrix.box, parts.overview.box);
  host.replaceChildren(parts.controls.bar, gone, parts.stage.box, parts.readout, tables);
  if (!data.causal) parts.matrix.box.append(el("p", "cx-sentence", data.labels.open_matrix));
  tell();
  paint();
}
new ResizeObserver(paint).observe(element);
addEventListener("resize", paint); // the stage's zoom changes the width in the view's own px, which no observer tells
document.fonts?.ready.then(paint);
watch("value", build);
build();
