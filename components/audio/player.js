// One player: codes, words, wave and pitches of a sound on one time axis, filled in step with what is heard.
// Messages come as "sound" events (`feed.js`); `run.py` writes them, `view.html` the page around it.
// Nothing sounds before the visitor has pressed a button: the server asks for it only in answer to one.
const part = (name) => element.querySelector(`[data-${name}]`);
const texts = JSON.parse(part("texts").dataset.texts);
const { fill, say } = window.steuervektor;
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const typed = (Type, text) => new Type(bytes(text).buffer);
const decimal = (value, digits) => value.toFixed(digits).replace(".", texts.decimal);
const tint = (code, alpha = 1) => `oklch(0.7 0.13 ${(code * 137.508) % 360} / ${alpha})`;
const STOPS = [[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]]; // plasma
let s = null; // the sound
let mode = "written"; // or "heard": codebooks side by side in the order of computation, or of sounding
let row = 0, step = 0; // the chosen cell
let at = 0; // s, where the sound stands

// The clock: that of the loudspeaker, or, where the browser plays nothing, the computer's. ---------------
let context = null, nodes = [], playing = null; // playing: {clock, begun, from, queued}
const Context = window.AudioContext ?? window.webkitAudioContext;

async function loudspeaker(rate) {
  try {
    if (!context || context.sampleRate !== rate) {
      context?.close();
      try { context = new Context({ sampleRate: rate }); } catch { context = new Context(); }
    }
    await Promise.race([context.resume(), new Promise((done) => setTimeout(done, 500))]);
  } catch { context = null; }
  const works = context?.state === "running";
  part("silent").hidden = works;
  return works ? () => context.currentTime : () => performance.now() / 1000;
}

function queue() { // what has come since the last time
  if (!playing || playing.queued >= s.have) return;
  const rate = s.sampleRate, now = playing.clock();
  let when = playing.begun + playing.queued / rate - playing.from;
  if (when < now + 0.02) { // the sound was not there in time: it goes on where it stood
    playing.begun += now + 0.05 - when;
    when = now + 0.05;
  }
  if (context?.state === "running") {
    const buffer = context.createBuffer(1, s.have - playing.queued, rate);
    buffer.copyToChannel(s.pcm.subarray(playing.queued, s.have), 0);
    const node = new AudioBufferSourceNode(context, { buffer });
    node.connect(context.destination);
    node.start(when);
    nodes.push(node);
  }
  playing.queued = s.have;
}

function pause() {
  for (const node of nodes) { try { node.stop(); } catch { /* not begun yet */ } }
  nodes = [];
  playing = null;
  part("play").textContent = texts.play;
  element.querySelector(".player").dataset.sounding = "no";
}

async function play(from) {
  pause();
  if (!s?.have) return;
  document.dispatchEvent(new CustomEvent("sv-sounding", { detail: element }));
  const sound = s, clock = await loudspeaker(s.sampleRate);
  if (s !== sound || playing) return; // another came meanwhile
  at = from >= s.have / s.sampleRate - 0.01 ? 0 : from;
  playing = { clock, begun: clock() + 0.05, from: at, queued: Math.round(at * s.sampleRate) };
  part("play").textContent = texts.pause;
  element.querySelector(".player").dataset.sounding = "yes";
  queue();
  requestAnimationFrame(turn);
}

function turn() {
  if (!playing) return;
  const end = s.have / s.sampleRate;
  at = Math.max(0, Math.min(playing.clock() - playing.begun + playing.from, end));
  if (at >= end && s.complete) pause();
  const frame = Math.min(s.frames - 1, Math.floor(at * s.rate));
  if (frame + lag(row) !== step) choose(row, frame + lag(row));
  paint();
  if (playing) requestAnimationFrame(turn);
}

// What comes from the server. ---------------------------------------------------------------------------
function begin(m) {
  const rows = m.rows.length, columns = m.frames + (m.delay ? rows - 1 : 0);
  pause();
  s = { ...m, columns, codes: new Int16Array(rows * m.frames).fill(-1), have: 0, complete: false, books: rows,
    pcm: new Float32Array(m.frames * m.hop), levels: new Uint8Array(m.frames * m.bands), columnsHeard: 0,
    ranked: new Int16Array(columns * rows * m.ranks).fill(-1), shares: new Uint16Array(columns * 3 * rows * m.ranks),
    chosen: new Int16Array(columns * rows).fill(-1), top: 1 };
  const given = m.given ? typed(Int16Array, m.givenCodes) : [];
  given.forEach((code, i) => { s.codes[Math.floor(i / m.given) * m.frames + i % m.given] = code; });
  at = 0; row = 0; step = m.given;
  part("rows").replaceChildren(...m.rows.map((name, i) => label(name, rows > 5 ? "" : m.hints[i] ?? "")));
  element.querySelector(".modes").hidden = !m.delay;
  part("words").replaceChildren();
  part("grid").style.height = part("rows").style.height = `${Math.min(36, 260 / rows) * rows}px`;
}

function label(name, hint, colour, translate = true) {
  const box = document.createElement("span");
  box.textContent = element.clientWidth < 620 ? name.split(" ").pop() : name; // "1" where there is no room
  box.title = `${name} ${hint}`;
  box.translate = translate;
  if (colour) box.style.setProperty("--c", colour);
  if (hint) box.append(Object.assign(document.createElement("small"), { textContent: hint }));
  return box;
}

function receive(m) {
  if (m.kind === "wait") {
    pause();
    s = null;
    element.querySelector(".player").dataset.state = "wait";
    say(part("status"), m.text);
    return;
  }
  if (m.kind === "books") return hearBooks(m);
  if (s?.id !== m.id) begin(m);
  note(m);
  element.querySelector(".player").dataset.state = m.kind;
  say(part("status"), m.text);
  part("play").disabled = !s.have;
  s.complete = m.kind !== "live";
  if (m.looks) lookedAt(m);
  if (m.play && !playing && !s.started && s.have) { s.started = true; play(0); }
  else if (playing) queue();
  else if (!m.play) at = s.have / s.sampleRate;
  if (s.complete || !playing) choose(row, step);
  paintAll();
}

function note(m) {
  const rows = s.rows.length, ranks = s.ranks;
  if (m.steps) {
    s.chosen.set(typed(Int16Array, m.chosen), m.step * rows);
    if (m.ranked) {
      s.ranked.set(typed(Int16Array, m.ranked), m.step * rows * ranks);
      const shares = typed(Uint16Array, m.shares);
      s.shares.set(shares, m.step * 3 * rows * ranks);
      s.top = shares.reduce((most, share) => Math.max(most, share), s.top);
    }
    for (let i = m.step; i < m.step + m.steps; i++) for (let book = 0; book < rows; book++) {
      const code = s.chosen[i * rows + book], frame = i - (s.delay ? book : 0);
      if (code >= 0) s.codes[book * s.frames + frame] = code;
    }
  }
  sounds(m);
}

function sounds(m) { // a gap, should the browser have left a message out, is closed by the last one
  if (!m.pcm || m.sample > s.have) return;
  const wave = typed(Int16Array, m.pcm);
  for (let i = 0; i < wave.length; i++) s.pcm[m.sample + i] = wave[i] / 32768;
  s.have = Math.max(s.have, m.sample + wave.length);
  s.levels.set(bytes(m.levels), m.sample / s.hop * s.bands);
  s.columnsHeard = Math.floor(s.have / s.hop);
}

function lookedAt(m) {
  s.looks = { words: m.words, all: bytes(m.looks) };
  part("words").replaceChildren(...m.words.map((word) => label(word.text, "", word.colour, false)));
  part("looks").style.height = part("words").style.height = `${m.words.length * 22}px`;
}

function hearBooks(m) {
  if (s?.id !== m.id) return;
  pause();
  s.books = m.books;
  s.have = 0;
  sounds(m);
  say(part("status"), m.text);
  paintAll();
  if (m.play) play(0);
}

// Drawing. ------------------------------------------------------------------------------------------------
const lag = (book) => (s.delay ? book : 0);
const frameOf = (book, column) => (mode === "written" ? column - lag(book) : column);

function canvas(name) {
  const view = part(name), scale = window.devicePixelRatio || 1;
  const width = Math.round(view.clientWidth * scale), height = Math.round(view.clientHeight * scale);
  if (view.width !== width || view.height !== height) { view.width = width; view.height = height; }
  const brush = view.getContext("2d");
  brush.setTransform(1, 0, 0, 1, 0, 0);
  brush.clearRect(0, 0, width, height);
  return [brush, width, height];
}

function paint() {
  if (!s) return;
  const [brush, width, height] = canvas("grid"), rows = s.rows.length;
  const wide = width / s.columns, high = height / rows, now = at * s.rate;
  const gap = wide > 5 ? 1 : 0, line = getComputedStyle(element).getPropertyValue("--sv-line");
  for (let book = 0; book < rows; book++) for (let column = 0; column < s.columns; column++) {
    const frame = frameOf(book, column), x = column * wide, y = book * high + 1;
    if (frame < 0 || frame >= s.frames) continue;
    const code = s.codes[book * s.frames + frame];
    brush.globalAlpha = book < s.books ? 1 : 0.25;
    brush.fillStyle = code < 0 ? line : tint(code, frame < now ? 1 : 0.3);
    if (code < 0) brush.fillRect(x + wide / 2 - 1, y + high / 2 - 1, 2, 2);
    else brush.fillRect(x, y, wide - gap, high - 2);
    if (frame < s.given) { brush.fillStyle = "#ffffffb0"; brush.fillRect(x, y + high - 7, wide - gap, 3); }
  }
  brush.globalAlpha = 1;
  const shift = mode === "written" ? 0 : -lag(row); // the chosen cell, and what sounds with it
  brush.strokeStyle = getComputedStyle(element).color;
  brush.lineWidth = Math.max(2, 2 * (window.devicePixelRatio || 1));
  brush.strokeRect((step + shift) * wide - 1, row * high, Math.max(wide, 4) + 2, high);
  const box = part("grid").getBoundingClientRect(), frame = part("tracks").getBoundingClientRect();
  part("head").style.left = `${box.left - frame.left + box.width * Math.min(now, s.columns) / s.columns}px`;
  part("time").textContent = fill(texts.time, { at: decimal(at, 1), all: decimal(s.frames / s.rate, 1) });
}

function paintAll() {
  if (!s) return;
  paint();
  paintWave();
  paintImage("pitches", s.columns, s.bands, (x, y) =>
    x < s.columnsHeard ? [...ramp(s.levels[x * s.bands + s.bands - 1 - y] / 255), 255] : [0, 0, 0, 0], true);
  element.querySelector(".track.looks").hidden = s.complete && !s.looks; // not every model tells
  if (!s.looks) return void canvas("looks");
  const { words, all } = s.looks, steps = all.length / words.length;
  const colours = words.map((word) => [1, 3, 5].map((i) => parseInt(word.colour.slice(i, i + 2), 16)));
  paintImage("looks", s.columns, words.length, (x, y) =>
    x < steps ? [...colours[y], all[x * words.length + y]] : [0, 0, 0, 0], false);
}

function ramp(level) {
  const place = Math.min(level, 0.9999) * (STOPS.length - 1), i = Math.floor(place), share = place - i;
  return STOPS[i].map((value, k) => value + (STOPS[i + 1][k] - value) * share);
}

function paintImage(name, width, height, pixel, smooth) {
  const small = new OffscreenCanvas(width, height), image = new ImageData(width, height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) image.data.set(pixel(x, y), 4 * (y * width + x));
  small.getContext("2d").putImageData(image, 0, 0);
  const [brush, wide, high] = canvas(name);
  brush.imageSmoothingEnabled = smooth;
  brush.drawImage(small, 0, 0, wide, high);
}

function paintWave() {
  const [brush, width, height] = canvas("wave"), each = s.columns * s.hop / width;
  brush.fillStyle = getComputedStyle(element).getPropertyValue("--sv-accent");
  for (let x = 0; x < width; x++) {
    const begin = Math.floor(x * each), end = Math.min(s.have, Math.ceil((x + 1) * each));
    let low = 0, high = 0;
    for (let i = begin; i < end; i++) { low = Math.min(low, s.pcm[i]); high = Math.max(high, s.pcm[i]); }
    [low, high] = [low / s.loudest, high / s.loudest];
    if (begin < s.have) brush.fillRect(x, height / 2 * (1 - high), 1, Math.max(1, height / 2 * (high - low)));
  }
}

// The chosen cell; `guess.js` shows its neighbours in large, and what else could have been drawn. ------
function choose(book, column) {
  if (!s) return;
  row = Math.max(0, Math.min(s.rows.length - 1, book));
  step = Math.max(lag(row), Math.min(s.frames - 1 + lag(row), column));
  const tracks = part("tracks"), frame = step - lag(row), code = s.codes[row * s.frames + frame];
  tracks.setAttribute("aria-valuemax", s.frames - 1);
  tracks.setAttribute("aria-valuenow", frame);
  const said = fill(texts.cell, { row: s.rows[row], time: decimal(frame / s.rate, 2), code: code < 0 ? "–" : code });
  tracks.setAttribute("aria-valuetext", said);
  const address = element.querySelector(".player").dataset.details;
  const details = address && document.querySelector(`#${address} .guess`);
  const cell = { s, row, step, mode, said, tint, fill };
  if (details) details.dispatchEvent(new CustomEvent("cell", { detail: cell, bubbles: true }));
}

// Hands. --------------------------------------------------------------------------------------------------
function seek(frame) {
  const going = Boolean(playing);
  at = Math.max(0, Math.min(frame, s.frames - 1)) / s.rate;
  if (going) play(at);
  paint();
}
element.addEventListener("sound", (event) => receive(event.detail));
document.addEventListener("sv-sounding", (event) => { if (event.detail !== element) pause(); });
part("play").addEventListener("click", () => (playing ? (pause(), paint()) : play(at)));
for (const button of element.querySelectorAll("[data-mode]")) button.addEventListener("click", () => {
  mode = button.dataset.mode;
  for (const other of element.querySelectorAll("[data-mode]")) other.setAttribute("aria-pressed", other === button);
  if (s) { choose(row, step); paintAll(); }
});
part("tracks").addEventListener("click", (event) => {
  const view = event.target.closest("canvas");
  if (!s || !view) return;
  const box = view.getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left) / box.width * s.columns);
  if (view === part("grid")) {
    const book = Math.floor((event.clientY - box.top) / box.height * s.rows.length);
    choose(book, mode === "written" ? column : column + lag(book));
  } else choose(row, column + lag(row));
  seek(step - lag(row));
});
part("tracks").addEventListener("keydown", (event) => {
  const by = event.shiftKey ? 10 : 1;
  const moves = { ArrowLeft: [0, -by], ArrowRight: [0, by], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (!s) return;
  if (event.key === " " || event.key === "Enter") part("play").click();
  else if (event.key === "Home") choose(row, 0);
  else if (event.key === "End") choose(row, s.columns);
  else if (moves[event.key]) {
    const [down, right] = moves[event.key], book = Math.max(0, Math.min(s.rows.length - 1, row + down));
    choose(book, step - lag(row) + lag(book) + right);
  } else return;
  event.preventDefault();
  if (event.key !== " " && event.key !== "Enter") seek(step - lag(row));
});
const fit = () => { paintAll(); if (!playing) choose(row, step); };
new ResizeObserver(fit).observe(part("tracks"));
addEventListener("resize", fit); // the stage's zoom, which no observer tells
