// Films of the video tab: all frames of a step lie side by side in one picture (a sheet), of which every
// place shows one piece. Playing and picking up tokens ask the server for nothing, scrubbing through steps once.

const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
let shown = null; // the data that is drawn at the moment, as text
let data = null;
let frame = 0;
let step = 0;
let playing = !still;
let timer = null;
let values, features, looks; // rows of bytes, one a token
let picked = null; // [frame, row, column]
let exact = null; // the decoder's own sheets of a run, or that they have been asked for; see `exact.py`

const all = (selector) => element.querySelectorAll(selector);
const { fill } = window.steuervektor;
const written = (value, digits) => value.toFixed(digits).replace("-", "−").replace(".", data.decimal);

const rowsOf = async (source) => {
  if (!source) return null;
  const { width, data: bytes } = await window.steuervektor.pixelsOf(source);
  return { width, at: (row, column) => bytes[4 * (row * width + column)] };
};

// Pieces -------------------------------------------------------------------------------------------

const sheetsOf = (name) => (exact?.run === data.run && exact?.rows?.[name]) || data.films[name];

const paintSheets = () => {
  for (const place of all("[data-film]")) {
    const sheets = sheetsOf(place.dataset.film);
    if (sheets) place.style.setProperty("--sheet", `url("${sheets[Math.min(step, sheets.length - 1)]}")`);
  }
};

// Steps are shown through a linear map until somebody looks back on them.
const sharpen = () => {
  if (!data.run || exact?.run === data.run) return;
  exact = { run: data.run };
  trigger("select");
};
window.addEventListener("sv-exact", ({ detail }) => {
  if (!data || exact?.run !== detail.run) return;
  exact = detail;
  paintSheets();
});

// A film and what is inside it are two places of the page with the same sliders.
const tell = () => {
  if (data.link) window.dispatchEvent(new CustomEvent("sv-film", { detail: { element, link: data.link, frame, step } }));
};
window.addEventListener("sv-film", ({ detail }) => {
  if (!data || detail.element === element || detail.link !== data.link || !element.isConnected) return;
  const moved = step !== detail.step;
  [frame, step] = [Math.min(detail.frame, data.count - 1), detail.step];
  if (moved) paintStep();
  paintFrame();
});

const paintFrame = () => {
  for (const screen of all("[data-player]")) screen.style.setProperty("--i", frame);
  for (const thumb of all("button[data-frame]")) {
    if (+thumb.dataset.frame === frame) thumb.setAttribute("aria-current", "true");
    else thumb.removeAttribute("aria-current");
  }
  for (const tile of all("[data-tile]")) tile.toggleAttribute("data-current", +tile.dataset.tile === frame);
  for (const row of all(".map .row")) row.style.setProperty("--row", frame);
  const slider = element.querySelector("[data-slide=frame]");
  if (slider) slider.value = frame + 1;
  for (const place of all("[data-said=frame]")) place.textContent = frame + 1;
};

const paintStep = () => {
  paintSheets();
  const slider = element.querySelector("[data-slide=step]");
  if (!slider) return;
  slider.value = step + 1;
  for (const place of all("[data-said=step]")) place.textContent = step + 1;
  for (const place of all("[data-said=time]")) if (data.times) place.textContent = data.times[step];
};

// Tokens -------------------------------------------------------------------------------------------

const rowOf = ([f, y, x]) => (f * data.grid[0] + y) * data.grid[1] + x;

const cosine = (a, b) => {
  let sum = 0;
  for (let i = 0; i < features.width; i++) sum += (features.at(a, i) - 128) * (features.at(b, i) - 128);
  return sum / 127 ** 2;
};

const found = (f) => {
  const own = rowOf(picked);
  let best = -2;
  let at = [0, 0];
  for (let y = 0; y < data.grid[0]; y++) {
    for (let x = 0; x < data.grid[1]; x++) {
      const similar = cosine(own, rowOf([f, y, x]));
      if (similar > best) [best, at] = [similar, [y, x]];
    }
  }
  return { at, best };
};

const putAt = (mark, [y, x]) => {
  mark.hidden = false;
  mark.style.setProperty("--y", y);
  mark.style.setProperty("--x", x);
};

const paintTokens = () => {
  if (!picked || !values) return;
  const [f, y, x] = picked;
  for (const tile of all("[data-tile]")) {
    const other = +tile.dataset.tile;
    putAt(tile.querySelector(".place"), [y, x]);
    tile.querySelector(".place").toggleAttribute("data-own", other === f);
    const mark = tile.querySelector(".found");
    if (features) {
      const { at } = found(other);
      putAt(mark, at);
    } else mark.hidden = true;
    const share = looks ? (looks.at(y * data.grid[1] + x, f * data.count + other) / 255) * data.most : null;
    tile.querySelector("b").textContent = share === null ? "" : window.steuervektor.percent(share);
  }
  const numbers = [];
  for (let i = 0; i < Math.min(4, data.channels); i++) {
    numbers.push(written(((values.at(rowOf(picked), i) - 128) / 127) * data.limit, 1));
  }
  const words = { frame: f + 1, row: y + 1, column: x + 1, numbers: numbers.join(" · "), channels: data.channels };
  const parts = [fill(data.words[data.channels > 4 ? "token_more" : "token"], words)];
  if (looks) parts.push(data.words.looks);
  parts.push(data.words[features ? "follow" : "follow_none"]);
  for (const place of all("[data-said=token]")) place.textContent = parts.join(" ");
};

const pick = (next) => {
  const inside = (value, most) => Math.max(0, Math.min(most - 1, value));
  picked = [inside(next[0], data.count), inside(next[1], data.grid[0]), inside(next[2], data.grid[1])];
  paintTokens();
};

// Playing ------------------------------------------------------------------------------------------

const playButton = () => element.querySelector(".play");
const run = () => {
  clearInterval(timer);
  timer = playing && data && playButton() ? setInterval(() => { frame = (frame + 1) % data.count; paintFrame(); tell(); }, 1000 / data.rate) : null;
  const button = playButton();
  if (!button || !data) return;
  button.setAttribute("aria-pressed", String(playing));
  button.textContent = data.words[playing ? "pause" : "play"];
};
const pause = () => { playing = false; run(); };

element.addEventListener("input", (event) => {
  const kind = event.target.dataset && event.target.dataset.slide;
  if (!kind || !data) return;
  if (kind === "frame") { pause(); frame = +event.target.value - 1; paintFrame(); }
  else { sharpen(); step = +event.target.value - 1; paintStep(); }
  tell();
});

element.addEventListener("click", (event) => {
  if (!data) return;
  const thumb = event.target.closest("button[data-frame]");
  if (thumb) { pause(); frame = +thumb.dataset.frame; paintFrame(); tell(); }
  if (event.target.closest(".play")) { playing = !playing; run(); }
  const tile = event.target.closest(".tile");
  if (tile && values) {
    const box = tile.getBoundingClientRect();
    const at = (value, start, length, count) => Math.floor(((value - start) / length) * count);
    pick([+tile.closest("[data-tile]").dataset.tile, at(event.clientY, box.top, box.height, data.grid[0]),
      at(event.clientX, box.left, box.width, data.grid[1])]);
  }
});

element.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [0, 0, -1], ArrowRight: [0, 0, 1], ArrowUp: [0, -1, 0], ArrowDown: [0, 1, 0],
    PageUp: [-1, 0, 0], PageDown: [1, 0, 0] };
  const move = moves[event.key];
  if (!move || !picked || !event.target.matches(".tiles")) return;
  event.preventDefault();
  pick(picked.map((value, i) => value + move[i]));
});

// What Gradio puts in anew is what the server wrote, even where the data is the same: pieces are painted again.
const painted = () => [...all("[data-film]")].every((place) => !data?.films[place.dataset.film] || place.style.getPropertyValue("--sheet"));

const renew = async () => {
  const source = element.querySelector("[data-video]");
  if (!source) { data = shown = null; clearInterval(timer); return; }
  const text = source.dataset.video;
  if (text === shown && painted()) return;
  shown = text;
  const next = JSON.parse(text);
  const read = await Promise.all([rowsOf(next.values), rowsOf(next.features), rowsOf(next.looks)]);
  if (text !== shown) return;
  data = next;
  [values, features, looks] = read;
  step = data.step;
  frame = Math.min(frame, data.count - 1);
  picked = data.picked || null;
  paintStep();
  paintFrame();
  paintTokens();
  run();
  element.querySelector("[data-video]").dataset.ready = "yes";
};
// Gradio changes the view in place or puts it in anew, with and without telling that its value has changed.
new MutationObserver(renew).observe(element, {
  childList: true, subtree: true, attributes: true, attributeFilter: ["data-video", "style"],
});
renew();
