// A trace on the page: it grows while the model draws, and is scrubbed without the server afterwards. Latents come
// as numbers (`trace_data.py`) and become pictures here, through the linear map nearest to the model's decoder;
// the exact pictures are asked for when somebody begins to scrub.
// One script serves all views of a trace; `element` is the gr.HTML that holds the view.
const SPREAD = 25, COARSE = 6; // most pictures in a strip, on wide and on narrow screens
const name = `${element.parentElement.closest("[id]")?.id}.step`; // in the address
let data = null; // of the run that is shown
let painted = {}; // addresses of pictures by row and place
let timer = null;
let at = null; // place of the slider
let asked = false; // for the exact pictures
let firstView = true;

const { fill } = window.steuervektor;
const only = (selector) => element.querySelector(selector);

// Numbers to pictures --------------------------------------------------------------------------------

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const unit = new DataView(bytes.buffer).getFloat32(0, true);
  return Float32Array.from(new Int8Array(bytes.buffer, 4), (v) => v * unit);
}

function address(pixels, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas.toDataURL();
}

/** Latents as pixels: each cell, its neighbours and 1, weighted; see `LinearDecoder`. */
function preview(latents) {
  const [channels, height, width] = data.grid, { patch } = data.decoder;
  const weights = data.weights ??= data.decoder.weights.map(unpack);
  const outputs = patch * patch * 3, sum = new Float32Array(outputs);
  const pixels = new Uint8ClampedArray(height * patch * width * patch * 4);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    sum.set(weights[9 * channels]);
    for (let c = 0; c < channels; c++) for (let k = 0; k < 9; k++) {
      const row = y + Math.floor(k / 3) - 1, column = x + (k % 3) - 1;
      if (row < 0 || row >= height || column < 0 || column >= width) continue;
      const value = latents[(c * height + row) * width + column], weight = weights[9 * c + k];
      for (let o = 0; o < outputs; o++) sum[o] += value * weight[o];
    }
    for (let o = 0; o < patch * patch; o++) {
      const place = 4 * ((y * patch + Math.floor(o / patch)) * width * patch + x * patch + (o % patch));
      pixels.set([sum[3 * o], sum[3 * o + 1], sum[3 * o + 2], 255], place);
    }
  }
  return address(pixels, width * patch, height * patch);
}

function colour(stops, share) {
  const to = Math.max(1, stops.findIndex(([place]) => place >= Math.min(1, Math.max(0, share))));
  const [[a, one], [b, other]] = [stops[to - 1], stops[to]];
  const part = Math.min(1, Math.max(0, (share - a) / (b - a)));
  return [1, 3, 5].map((i) => {
    const low = parseInt(one.slice(i, i + 2), 16), high = parseInt(other.slice(i, i + 2), 16);
    return low + part * (high - low);
  });
}

/** Channels side by side (4 as 2 x 2, 16 as 4 x 4), blue below zero and orange above; seams between them are clear. */
function tile(latents, limit) {
  const [channels, height, width] = data.grid;
  const columns = Math.ceil(Math.sqrt(channels)), rows = Math.ceil(channels / columns);
  const across = columns * (width + 1) - 1, down = rows * (height + 1) - 1;
  const pixels = new Uint8ClampedArray(4 * across * down);
  latents.forEach((value, i) => {
    const channel = Math.floor(i / (height * width)), cell = i % (height * width);
    const y = Math.floor(cell / width) + Math.floor(channel / columns) * (height + 1);
    const x = (cell % width) + (channel % columns) * (width + 1);
    pixels.set([...colour(data.scales.signed, value / (2 * limit) + 0.5), 255], 4 * (y * across + x));
  });
  return address(pixels, across, down);
}

/** The length of the vector at each cell, dark at 0. */
function lengths(latents, limit) {
  const [channels, height, width] = data.grid, cells = height * width;
  const pixels = new Uint8ClampedArray(4 * cells);
  for (let i = 0; i < cells; i++) {
    let square = 0;
    for (let c = 0; c < channels; c++) square += latents[c * cells + i] ** 2;
    pixels.set([...colour(data.scales.length, Math.sqrt(square) / limit), 255], 4 * i);
  }
  return address(pixels, width, height);
}

const difference = (i) => {
  const empty = unpack(data.latents.empty[i]);
  return unpack(data.latents.prompt[i]).map((value, k) => value - empty[k]);
};
const WAYS = {
  latents: { row: "noisy", paint: (i) => tile(unpack(data.latents.noisy[i]), data.limits.latents) },
  difference: { row: "empty", paint: (i) => tile(difference(i), data.limits.difference) },
  magnitude: { row: "empty", paint: (i) => lengths(difference(i), data.limits.magnitude) },
};

/** Where a row stands at a place of the slider: 0 is the noise before the first step. */
const indexOf = (row, place) => ((WAYS[row]?.row ?? row) === "noisy" ? place : place - 1);
function source(row, place) {
  const way = WAYS[row], i = indexOf(row, place);
  if (!(i in (data.latents?.[way?.row ?? row] ?? []))) return null;
  const exact = data.exact[row]?.[i];
  if (exact) return exact;
  return (painted[row] ??= {})[i] ??= way ? way.paint(i) : preview(unpack(data.latents[row][i]));
}
const why = (row, place) => data.texts[!data.times.length ? "waiting" : place === 0 ? "not_yet" : "no_branch"];

// The view -------------------------------------------------------------------------------------------

const done = () => data.times.length;
const running = () => data.state === "running";
function label(place) {
  return place ? fill(data.texts.step, { step: place, total: running() ? data.total : done() }) : data.texts.start;
}
function told(place) {
  const left = data.total - place;
  return {
    count: String(place), total: ` / ${data.total}`,
    left: !done() ? data.texts.waiting : left > 1 ? fill(data.texts.left, { left }) : data.texts[left ? "left_one" : "left_none"],
    time: done() ? fill(data.texts.time, { timestep: data.times[Math.min(place, done()) - 1] ?? data.times[0] }) : "",
    remark: data.remark,
  };
}

function show(place) {
  if (!data) return;
  at = Math.max(data.first, Math.min(done(), place));
  for (const picture of element.querySelectorAll("img[data-row]")) {
    const { row, alt } = picture.dataset, shown = source(row, at);
    picture.hidden = !shown;
    const hole = picture.nextElementSibling;
    hole.hidden = Boolean(shown);
    if (!shown) { hole.textContent = why(row, at); continue; }
    picture.src = shown;
    picture.alt = `${alt}, ${label(at)}`;
  }
  const words = told(at);
  for (const part of element.querySelectorAll("[data-text]")) part.textContent = words[part.dataset.text];
  const range = only("input[type=range]"), last = running() ? data.total : done();
  Object.assign(range, { min: data.first, max: last, value: at, disabled: running() || !done() });
  range.setAttribute("aria-valuetext", done() ? label(at) : data.texts.waiting);
  only(".play").disabled = range.disabled;
  let lit = null;
  for (const thumb of element.querySelectorAll(".film button")) {
    thumb.removeAttribute("aria-current");
    if (+thumb.dataset.step <= at) lit = thumb;
  }
  lit?.setAttribute("aria-current", "true");
}

const evenly = (count, most) => {
  const many = Math.min(most, count);
  return Array.from({ length: many }, (_, i) => Math.round(i * (count - 1) / Math.max(1, many - 1)));
};
/** The strip: long runs show every second, third, … of their pictures. */
function strip() {
  const film = only(".film"), count = (running() ? data.total : done()) + 1 - data.first;
  const places = evenly(count, SPREAD).map((i) => i + data.first);
  const coarse = new Set(evenly(places.length, COARSE).map((i) => places[i]));
  film.style.setProperty("--thumbs", places.length);
  film.style.setProperty("--coarse", coarse.size);
  const known = new Map([...film.children].map((thumb) => [+thumb.dataset.step, thumb]));
  film.replaceChildren(...places.flatMap((place) => {
    const picture = source(data.strip, place);
    if (!picture) return [];
    const thumb = known.get(place) ?? document.createElement("button");
    if (!thumb.firstChild) thumb.append(document.createElement("img"), String(place));
    Object.assign(thumb, { type: "button", tabIndex: -1 });
    thumb.dataset.step = place;
    thumb.toggleAttribute("data-coarse", coarse.has(place));
    thumb.setAttribute("aria-label", label(place).includes(place) ? label(place) : `${place}: ${label(place)}`);
    thumb.firstChild.alt = "";
    if (thumb.firstChild.src !== picture) thumb.firstChild.src = picture;
    return [thumb];
  }));
}

function pause() {
  clearInterval(timer);
  timer = null;
  const play = only(".play");
  if (play) { play.setAttribute("aria-pressed", "false"); play.textContent = play.dataset.play; }
}

function start(play) {
  let place = at >= done() ? data.first : at;
  show(place);
  play.setAttribute("aria-pressed", "true");
  play.textContent = play.dataset.pause;
  timer = setInterval(() => { place += 1; show(place); if (place >= done()) pause(); }, Math.max(60, 4000 / (done() + 1)));
}

/** What was painted through the linear map makes way for the decoder's own pictures. */
function sharpen() {
  if (asked || !data || running()) return;
  asked = true;
  trigger("select"); // see `exact.py`
}

element.addEventListener("input", (event) => {
  if (event.target.matches("input[type=range]")) { pause(); choose(+event.target.value); }
});
element.addEventListener("click", (event) => {
  const thumb = event.target.closest(".film button"), play = event.target.closest(".play");
  if (thumb && !running()) { pause(); choose(+thumb.dataset.step); }
  if (play && data && done()) { if (timer) pause(); else { sharpen(); start(play); } }
});
addEventListener("sv-exact", ({ detail }) => { // see `exact.js`
  if (!data || detail.run !== data.run) return;
  for (const [row, pictures] of Object.entries(detail.rows)) data.exact[row] = pictures;
  strip();
  show(at);
});

function choose(place) {
  sharpen();
  show(place);
  window.steuervektor.address({ [name]: place });
}

function renew() {
  const next = props.value;
  if (!next?.html) { data = null; return; }
  const same = data && data.run === next.run, settled = same && !running();
  if (!same) { pause(); painted = {}; asked = false; }
  const exact = { ...next.exact };
  for (const row in same ? data.exact : {}) exact[row] = { ...data.exact[row], ...exact[row] }; // asked for once
  data = { ...next, exact, weights: same ? data.weights : undefined };
  only(".trace").dataset.state = data.state;
  strip();
  const usual = data.start ?? data.first;
  if (running() || !firstView) { show(settled ? at : usual); return; } // its tab was left, and opened again
  firstView = false;
  show(window.steuervektor.askedNumber(name, data.first, done(), usual));
  if (at !== usual) sharpen();
}
watch("value", renew);
renew();
