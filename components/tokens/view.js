// Draws how a word is merged, step by step, and lights up a token wherever it is shown.
// The data come from `view._merges`: per word `letters` [[label, bytes]], `bytes` (hex),
// `merges` [[rank, positions, ranks of all pairs]] and `pieces` [[id, bytes, colour, ink]].
// A symbol is a span [from, to) of the word's bytes. Texts of visitors only ever become textContent.
const { asked, askedNumber, el, fill } = window.steuervektor;
const state = { word: asked("tokens.word"), step: askedNumber("tokens.merge", 0, 200, null), timer: 0 };
const reading = document.getElementById("tokens-view"); // the strip, of which this takes the words apart
let drawnOf = ""; // word and data of the parts on the page
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** The symbols of a word after each number of merges, as spans of bytes. */
function history(word) {
  const size = word.bytes.length / 2;
  let spans = Array.from({ length: size }, (_, i) => [i, i + 1]);
  const rows = [spans];
  for (const [, at] of word.merges) {
    const joined = new Set(at);
    const next = [];
    for (let i = 0; i < spans.length; i++) {
      if (joined.has(i)) { next.push([spans[i][0], spans[i + 1][1]]); i++; }
      else next.push(spans[i]);
    }
    spans = next;
    rows.push(spans);
  }
  return rows;
}

/** What to write on a span: its letters, or the bytes of a letter that it holds only in part. */
function label(word, from, to) {
  let out = "", at = 0;
  for (const [text, size] of word.letters) {
    const low = Math.max(at, from), high = Math.min(at + size, to);
    if (low < high) out += high - low === size ? text : " " + hex(word, low, high) + " ";
    at += size;
  }
  return out.trim();
}
const hex = (word, from, to) => word.bytes.slice(2 * from, 2 * to).match(/../g).join(" ").toUpperCase();

function cell(word, span, row, name) {
  const node = el("span", "tk-sym " + name);
  node.style.gridArea = `${row} / ${2 * span[0] + 1} / auto / ${2 * span[1] + 1}`;
  node.append(el("bdi", "", label(word, ...span), { translate: "no" }));
  if (span[1] === word.bytes.length / 2) node.append(el("small", "", "</w>"));
  let end = 0;
  for (const [, size, colour, ink] of word.pieces) {
    end += size;
    if (span[0] < end) { node.style.setProperty("--c", colour); node.style.setProperty("--ink", ink); break; }
  }
  return node;
}

/** Row 1: letters; row 2: their bytes. */
function header(word, grid) {
  let at = 0;
  for (const [text, size] of word.letters) {
    const letter = el("bdi", "tk-letter", text, { translate: "no" });
    letter.style.gridArea = `1 / ${2 * at + 1} / auto / ${2 * (at + size) + 1}`;
    grid.append(letter);
    for (let i = at; i < at + size; i++) {
      const byte = el("code", "tk-byte", hex(word, i, i + 1));
      byte.style.gridArea = `2 / ${2 * i + 1} / auto / ${2 * i + 3}`;
      grid.append(byte);
    }
    at += size;
  }
}

/** The rule numbers of all neighbouring pairs, under the word as it stands; the smallest wins. */
function candidates(word, spans, step, row, grid, format, caption) {
  const [rank, , ranks] = word.merges[step];
  spans.slice(0, -1).forEach((span, i) => {
    const next = spans[i + 1];
    const node = el("span", "tk-rank" + (ranks[i] === rank ? " tk-wins" : ""), ranks[i] === null ? "–" : format(ranks[i] + 1));
    // From the middle of the left symbol to the middle of the right one.
    node.style.gridArea = `${row} / ${span[0] + span[1] + 1} / auto / ${next[0] + next[1] + 1}`;
    grid.append(node);
  });
  const text = el("span", "tk-caption tk-soft", caption);
  text.style.setProperty("--row", row);
  grid.append(text);
}

function drawGrid(data, word, rows, step) {
  const { labels } = data;
  const format = (n) => n.toLocaleString(data.language);
  const size = word.bytes.length / 2;
  const grid = el("div", "tk-grid");
  grid.style.setProperty("--columns", 2 * size);
  header(word, grid);
  // Two grid rows a step: on narrow screens the second one takes the caption.
  let line = 3;
  for (let k = 1; k <= step; k++, line += 2) {
    const [rank, at] = word.merges[k - 1];
    const before = rows[k - 1];
    const fresh = new Set(at.map((i) => before[i][0]));
    for (const span of rows[k]) {
      const name = fresh.has(span[0]) ? "tk-fresh" : "tk-old";
      grid.append(cell(word, span, line, name + (k === step ? " tk-now" : "")));
    }
    const left = label(word, ...before[at[0]]), right = label(word, ...before[at[0] + 1]);
    const end = before[at[0] + 1][1] === size ? "</w>" : "";
    const caption = el("span", "tk-caption");
    caption.append(el("b", "", fill(labels.rule, { rank: format(rank + 1), rules: format(data.rules) })));
    caption.append(el("bdi", "", ` ${left} + ${right}${end}`, { translate: "no" }));
    caption.style.setProperty("--row", line);
    grid.append(caption);
  }
  if (step < word.merges.length) candidates(word, rows[step], step, line, grid, format, labels.candidates);
  else drawTokens(data, word, line, grid);
  return grid;
}

/** The last row: the tokens with their ids, and the sentence that says it is over. */
function drawTokens(data, word, line, grid) {
  let from = 0;
  for (const [id, size] of word.pieces) {
    const node = cell(word, [from, from + size], line, "tk-final");
    node.append(el("code", "", id));
    grid.append(node);
    from += size;
  }
  const count = word.pieces.length;
  const key = word.bytes.length === 2 ? "single" : count === 1 ? "done_one" : "done_many";
  const caption = el("span", "tk-caption tk-done", fill(data.labels[key], { count }));
  caption.style.setProperty("--row", line);
  grid.append(caption);
}

function button(name, text, action, disabled) {
  const node = el("button", "tk-button " + name, text, { type: "button" });
  node.disabled = disabled;
  node.addEventListener("click", action);
  return node;
}

function controls(data, word, step) {
  const { labels } = data;
  const last = word.merges.length;
  const bar = el("div", "tk-controls");
  const slider = el("input", "", undefined, {
    type: "range", min: 0, max: last, step: 1, "aria-label": labels.steps,
    "aria-valuetext": fill(labels.progress, { step, steps: last }),
  });
  slider.value = step;
  slider.disabled = last === 0;
  slider.addEventListener("input", () => go(Number(slider.value)));
  bar.append(
    button("tk-play", state.timer ? labels.pause : labels.play, play, last === 0),
    button("tk-back", labels.back, () => go(step - 1), step === 0),
    slider,
    button("tk-next", labels.next, () => go(step + 1), step === last),
    el("span", "tk-progress", fill(labels.progress, { step, steps: last }), { role: "status" }),
  );
  return bar;
}

/** One button per different word; the chosen one is drawn. */
function picker(data, chosen) {
  const list = el("div", "tk-words", undefined, { role: "group", "aria-label": data.labels.words });
  const seen = new Set();
  for (const word of data.words) {
    if (seen.has(word.text)) continue;
    seen.add(word.text);
    const node = el("button", "tk-pick", undefined, { type: "button", "aria-pressed": word === chosen, dir: "auto", translate: "no" });
    const letters = Array.from(word.name);
    node.textContent = letters.length > 24 ? letters.slice(0, 24).join("") + "…" : word.name;
    node.addEventListener("click", () => select(word.text));
    list.append(node);
  }
  return list;
}

function chosenWord(data) {
  return data.words.find((word) => word.text === state.word) ?? data.words[data.start];
}

/** Another step of the same word: a slider that is being dragged stays, and so does how far the grid is scrolled. */
function renewStep(host, bar, [, next, scroller]) {
  const slider = bar.querySelector("input"), now = next.querySelector("input");
  for (const name of [".tk-play", ".tk-back", ".tk-next", ".tk-progress"]) bar.querySelector(name).replaceWith(next.querySelector(name));
  if (slider.value !== now.value) slider.value = now.value;
  slider.setAttribute("aria-valuetext", now.getAttribute("aria-valuetext"));
  host.querySelector(".tk-scroll").replaceChildren(...scroller.children);
}

function draw() {
  const host = element.querySelector(".tk-merges");
  if (!host) return stop();
  const data = JSON.parse(host.dataset.merges);
  const word = chosenWord(data);
  const parts = [picker(data, word)];
  if (word.drawn) {
    const step = Math.min(state.step ?? word.merges.length, word.merges.length);
    parts.push(controls(data, word, step));
    const scroller = el("div", "tk-scroll", undefined, { tabindex: 0, role: "group", "aria-label": word.text });
    scroller.style.setProperty("--rows", word.merges.length + 1);
    scroller.append(drawGrid(data, word, history(word), step));
    parts.push(scroller, el("p", "tk-soft tk-endnote", data.labels.end_mark));
  } else {
    const text = word.text.length > 40 ? word.text.slice(0, 40) + "…" : word.text;
    const sentence = el("p", "tk-sentence");
    window.steuervektor.say(sentence, fill(data.labels.too_long, { text: window.steuervektor.quote(text), limit: data.limit }));
    parts.push(sentence);
  }
  const focused = host.contains(document.activeElement) ? document.activeElement : null;
  const path = focused && `.${focused.className.trim().split(/\s+/).join(".")}`;
  const again = focused && (focused.type === "range" ? "input" : path);
  const index = focused && [...host.querySelectorAll(again)].indexOf(focused);
  const bar = host.querySelector(".tk-controls"), of = `${word.text}\n${host.dataset.merges}`;
  if (bar && word.drawn && of === drawnOf) renewStep(host, bar, parts);
  else host.replaceChildren(...parts);
  drawnOf = of;
  // A redrawn control keeps the keyboard's focus; one that is now disabled hands it to the slider.
  if (focused) {
    const same = host.querySelectorAll(again)[index];
    (same && !same.disabled ? same : host.querySelector("input"))?.focus();
  }
  mark(data, word);
}

function mark(data, word) {
  for (const chip of reading.querySelectorAll(".tk-strip [data-word]")) {
    chip.classList.toggle("tk-chosen", data.words[chip.dataset.word] === word);
  }
}

function stop() {
  clearInterval(state.timer);
  state.timer = 0;
}
/** Draws after a step was taken: what was joined just now closes its gap before one's eyes. */
function drawStep() {
  draw();
  if (still.matches) return;
  for (const node of element.querySelectorAll(".tk-fresh.tk-now, .tk-final")) {
    node.animate([{ transform: "scaleX(1.12)", opacity: 0.2 }, { transform: "none", opacity: 1 }], { duration: 350, easing: "ease-out" });
  }
}
function go(step) {
  stop();
  state.step = step;
  window.steuervektor.address({ "tokens.merge": step });
  drawStep();
}
function select(text) {
  stop();
  state.word = text;
  state.step = null;
  window.steuervektor.address({ "tokens.word": text, "tokens.merge": null });
  draw();
}
function steps() {
  return chosenWord(JSON.parse(element.querySelector(".tk-merges").dataset.merges)).merges.length;
}
function play() {
  if (state.timer) { stop(); return draw(); }
  state.step = (state.step ?? steps()) >= steps() ? 0 : state.step;
  state.timer = setInterval(() => {
    if (!element.isConnected || !element.querySelector(".tk-merges")) return stop();
    state.step += 1;
    if (state.step >= steps()) stop();
    drawStep();
  }, 1100);
  draw();
}

/** The same place in the strip and in the meter lights up together. */
function light(event) {
  const target = event.target.closest?.("[data-place]");
  for (const lit of reading.querySelectorAll(".tk-lit")) lit.classList.remove("tk-lit");
  if (!target || !target.closest(".tk-story") || event.type === "mouseout" || event.type === "focusout") return;
  for (const twin of reading.querySelectorAll(`.tk-story [data-place="${target.dataset.place}"]`)) twin.classList.add("tk-lit");
}
for (const name of ["mouseover", "mouseout", "focusin", "focusout"]) reading.addEventListener(name, light);

reading.addEventListener("click", (event) => {
  const chip = event.target.closest(".tk-strip [data-word]");
  const host = element.querySelector(".tk-merges");
  if (chip && host) select(JSON.parse(host.dataset.merges).words[chip.dataset.word].text);
});
watch("value", () => {
  if (!state.timer) state.step = null;
  draw();
});
// the strip may come after the words it belongs to
new MutationObserver(() => {
  const host = element.querySelector(".tk-merges");
  if (!host) return;
  const data = JSON.parse(host.dataset.merges);
  mark(data, chosenWord(data));
}).observe(reading, { childList: true, subtree: true });
draw();
