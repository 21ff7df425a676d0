// The stage of the contrastive tab. The records of every step are here, so scrubbing and changing the view
// ask nobody; they come with `pulse` events from the hidden element beside this one.
let stage = null;  // what stays the same during a training
let records = [];  // [similarity, unseen, loss, unseen loss, accuracy, unseen accuracy, scale] of each step
let at = 0;
let running = false;
let view = "cosine";
const LOSS_TOP = 4;
const find = (selector) => element.querySelector(selector);
const controls = window.svViews["ui/training_console"](element, trigger);

const comma = (text) => (stage.comma ? text.replace(".", ",") : text);
const decimal = (value, digits = 2) => comma((Object.is(Math.round(value * 10 ** digits), -0) ? 0 : value).toFixed(digits)).replace("-", "−");
const percent = (share) => window.steuervektor.percent(share); // a chart passes more than the share

// `[image, text]` cosines to what the view shows.
function values(whole, scale) {
  const n = stage.count;
  const cosines = whole.map((value) => value / 10000);
  if (view === "cosine") return cosines;
  const shares = new Array(n * n);
  for (let one = 0; one < n; one++) {
    const place = (k) => (view === "texts" ? one * n + k : k * n + one);
    const logits = Array.from({ length: n }, (_, k) => cosines[place(k)] * scale);
    const top = Math.max(...logits);
    const powers = logits.map((logit) => Math.exp(logit - top));
    const sum = powers.reduce((a, b) => a + b, 0);
    powers.forEach((power, k) => { shares[place(k)] = power / sum; });
  }
  return shares;
}

function fill(name, whole, scale) {
  const ramp = view === "cosine" ? stage.ramps.cosine : stage.ramps.share;
  const shown = values(whole, scale);
  for (const cell of element.querySelectorAll(`[data-matrix=${name}] .cell`)) {
    const value = shown[+cell.dataset.at];
    const share = view === "cosine" ? (value + 1) / 2 : value;
    const [background, ink] = ramp[Math.round(Math.min(1, Math.max(0, share)) * (ramp.length - 1))];
    cell.style.background = background;
    cell.style.color = ink;
    cell.textContent = view === "cosine" ? decimal(value) : percent(value);
  }
}

function chart(name, own, other, top, lines, label) {
  const svg = find(`[data-chart=${name}]`);
  const last = records.length - 1;
  const end = [60, 150, 300, stage.most].find((tier) => tier >= last) ?? stage.most;
  const [left, right, high, low] = [44, 432, 8, 126];
  const x = (step) => left + ((right - left) * step) / end;
  const y = (value) => low - ((low - high) * Math.min(top, Math.max(0, value))) / top;
  const path = (values) => values.map((value, step) => `${step ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  let drawn = "";
  for (const tick of [0, top / 2, top]) {
    drawn += `<line class="axis" x1="${left}" x2="${right}" y1="${y(tick)}" y2="${y(tick)}"/><text x="${left - 8}" y="${y(tick) + 5}" text-anchor="end">${label(tick)}</text>`;
  }
  for (const [value, text] of lines) {
    drawn += `<line class="guess" x1="${left}" x2="${right}" y1="${y(value)}" y2="${y(value)}"/><text x="${right}" y="${y(value) - 5}" text-anchor="end">${text}</text>`;
  }
  for (const tick of [0, end / 2, end]) drawn += `<text x="${x(tick)}" y="147" text-anchor="middle">${tick}</text>`;
  drawn += `<path class="line other" d="${path(other)}"/><path class="line own" d="${path(own)}"/>`;
  if (at < last) drawn += `<line class="at" x1="${x(at)}" x2="${x(at)}" y1="${high}" y2="${low}"/>`;
  drawn += `<circle class="other" r="5" cx="${x(at)}" cy="${y(other[at])}"/><circle class="own" r="5" cx="${x(at)}" cy="${y(own[at])}"/>`;
  svg.innerHTML = drawn;
}

function show() {
  const record = records[at];
  if (!stage || !record) return;
  const [similarity, unseen, loss, unseenLoss, accuracy, unseenAccuracy, scale] = record;
  fill("pairs", similarity, scale);
  fill("unseen", unseen, scale);
  fill("classroom", stage.classroom.similarity, stage.classroom.scale);
  const said = { step: at, loss: decimal(loss), accuracy: percent(accuracy), unseen: percent(unseenAccuracy), temperature: decimal(1 / scale, 3) };
  for (const [key, text] of Object.entries(said)) find(`[data-read=${key}]`).textContent = text;
  const column = (i) => Array.from(records, (r) => r?.[i] ?? 0);
  const floor = stage.floor > 0.001 ? [[stage.floor, `${stage.texts.lowest} ${decimal(stage.floor)}`]] : [];
  chart("loss", column(2), column(3), LOSS_TOP, [[stage.chance, `${stage.texts.guessing} ${decimal(stage.chance)}`], ...floor],
    (tick) => (tick === LOSS_TOP ? `${tick}+` : tick));
  chart("accuracy", column(4), column(5), 1, [[1 / stage.count, `${stage.texts.guessing} ${percent(1 / stage.count)}`]], percent);
}

function transport() {
  controls.set({ at, last: Math.max(0, records.length - 1), most: stage.most, running });
  find(".stage").dataset.state = running ? "running" : records.length ? "paused" : "idle";
  find(".stage").dataset.step = at;
}

element.addEventListener("pulse", (event) => {
  const pulse = event.detail;
  if (!stage || pulse.number !== stage.number) return;
  records.length = Math.min(records.length, pulse.total);
  pulse.records.forEach((record, i) => { records[pulse.first + i] = record; });
  running = pulse.running && controls.held() === null;
  at = Math.min(controls.held() ?? Infinity, records.length - 1);
  show();
  transport();
});

controls.onmove((step) => {
  running = false;
  at = step;
  show();
  transport();
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-view]");
  if (!button || !stage) return;
  view = button.dataset.view;
  for (const other of element.querySelectorAll("[data-view]")) other.setAttribute("aria-pressed", String(other === button));
  show();
});

function renew() {
  const data = find("[data-contrastive]");
  const next = data ? JSON.parse(data.dataset.contrastive) : null;
  if (next && stage && next.number === stage.number && records.length) { stage = next; show(); transport(); return; }
  stage = next;
  records = [];
  at = 0;
  running = false;
  if (!stage) return;
  controls.set({ at, last: 0, running });
  for (const button of element.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
  document.dispatchEvent(new CustomEvent("contrastive-ready"));
}
watch("value", renew);
renew();
