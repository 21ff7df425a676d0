// Heat maps over a run's pictures. All maps are in the page: one grey picture per group of layers holds a
// row of tiles per token and a column per step; a choice only draws other tiles.
let data = null;
let parsed = null;
let first = true;
let at = { branch: "prompt", layers: "all", row: 0, step: 0, mean: true };
const tiles = new Map(); // address of an atlas to its pixels

const find = (selector) => element.querySelector(selector);
const branch = () => data.branches[at.branch];
const group = () => branch().groups[at.layers];
const { percent, quote, say } = window.steuervektor;

async function pixelsOf(source) {
  if (!tiles.has(source)) tiles.set(source, await window.steuervektor.pixelsOf(source));
  return tiles.get(source);
}

// The cells of one token's map, 0..1, and the share of attention that 1 stands for: at a step the brightest cell
// of all steps, so that steps can be compared; on average over all steps (step null) the brightest of the average.
function scaled(pixels, row, step) {
  const cells = values(pixels, row, step), peak = group().peaks[row];
  if (step !== null) return { cells, peak };
  const most = Math.max(...cells) || 1;
  return { cells: cells.map((v) => v / most), peak: peak * most };
}

function values(pixels, row, step) {
  const { width, height } = group();
  const steps = data.labels.length;
  const out = new Float32Array(width * height);
  const from = step === null ? 0 : step, to = step === null ? steps : step + 1;
  for (let s = from; s < to; s++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        out[y * width + x] += pixels.data[4 * ((row * height + y) * pixels.width + s * width + x)] / 255 / (to - from);
  return out;
}

function heat(box, picture, cells, colour, label) {
  const { width, height } = group();
  let image = box.querySelector("img"), canvas = box.querySelector("canvas");
  if (!image) {
    box.replaceChildren(image = new Image(), canvas = document.createElement("canvas"));
    box.style.aspectRatio = data.proportion;
  }
  if (image.src !== picture) image.src = picture;
  image.alt = label;
  canvas.width = width; canvas.height = height;
  const pen = canvas.getContext("2d");
  const paint = pen.createImageData(width, height);
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  cells.forEach((v, i) => paint.data.set([r, g, b, Math.round(235 * v)], 4 * i));
  pen.putImageData(paint, 0, 0);
}

function fillChips() {
  const place = find("[data-chips]");
  if (!place) return;
  const shares = group().shares, most = Math.max(...shares), focused = place.contains(document.activeElement);
  place.replaceChildren(...branch().rows.map((row, i) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.setAttribute("role", "radio");
    chip.setAttribute("aria-checked", String(i === at.row));
    chip.tabIndex = i === at.row ? 0 : -1;
    chip.dataset.row = i;
    chip.classList.toggle("unread", row.unread);
    chip.style.cssText = `--c:${row.colour};--ink:${row.ink};--share:${shares[i] / most}`;
    const name = document.createElement("b"), share = document.createElement("small");
    name.textContent = row.name;
    name.translate = false;
    share.textContent = percent(shares[i], 0);
    chip.title = (row.encoder ? row.encoder + ": " : "") + data.share + " " + percent(shares[i], 1);
    chip.append(name, share);
    return chip;
  }));
  if (focused) place.children[at.row].focus();
}

function figure(className, text) {
  const box = document.createElement("figure");
  box.innerHTML = '<div class="heat"></div><figcaption></figcaption>';
  box.className = className;
  say(box.querySelector("figcaption"), text);
  return box;
}

async function draw() {
  if (!data) return;
  const drawn = data, { atlas } = group(), pixels = await pixelsOf(atlas);
  if (drawn !== data || atlas !== group().atlas) return; // another choice was made meanwhile
  const row = branch().rows[at.row], last = data.pictures.length - 1;
  const step = at.mean ? null : at.step;
  const picture = data.pictures[step === null ? last : step];
  const where = step === null ? data.mean : data.labels[step];
  fillChips();
  const lead = find('[data-heat="lead"]');
  if (lead) {
    const { cells, peak: most } = scaled(pixels, at.row, step);
    heat(lead, picture, cells, row.colour, row.name + ", " + where);
    find("[data-legend]").innerHTML = '<b></b><span class="ramp"></span><span></span>';
    const [name, ramp, peak] = find("[data-legend]").children;
    say(name, quote(row.name));
    ramp.style.setProperty("--c", row.colour);
    peak.textContent = "0 … " + percent(most, 1) + " " + data.peak;
    find("[data-step-label]").textContent = where;
    find("[data-step]").disabled = at.mean;
    drawFilm(pixels, row);
  }
  drawWords(pixels, step, picture);
}

function drawFilm(pixels, row) {
  const count = Math.min(10, data.labels.length);
  const shown = [...Array(count).keys()].map((i) => Math.round(i * (data.labels.length - 1) / Math.max(1, count - 1)));
  find("[data-film]").replaceChildren(...shown.map((s) => {
    const box = figure("frame", String(s + 1));
    heat(box.firstChild, data.pictures[s], values(pixels, at.row, s), row.colour, row.name + ", " + data.labels[s]);
    if (!at.mean && s === at.step) box.setAttribute("aria-current", "true");
    box.dataset.frame = s;
    return box;
  }));
}

function drawWords(pixels, step, picture) {
  find("[data-words]").replaceChildren(...branch().rows.map((row, i) => {
    const box = figure("word", quote(row.name));
    heat(box.firstChild, picture, scaled(pixels, i, step).cells, row.colour, row.name);
    const share = document.createElement("small");
    share.textContent = percent(group().shares[i], 0);
    box.querySelector("figcaption").append(share);
    if (i === at.row && find("[data-chips]")) box.setAttribute("aria-current", "true");
    box.dataset.row = i;
    box.style.setProperty("--c", row.colour);
    return box;
  }));
}

const name = element.parentElement.closest("[id]")?.id; // of the values in the address
function tell() {
  const { branch, layers, row, step, mean } = at;
  window.steuervektor.address({ [`${name}.token`]: row, [`${name}.step`]: mean ? null : step + 1,
    [`${name}.layers`]: layers === data.layers ? null : layers, [`${name}.branch`]: branch === "prompt" ? null : branch });
}
function choose(row) {
  const count = branch().rows.length;
  at.row = (row + count) % count;
  tell();
  draw();
}

element.addEventListener("click", (event) => {
  const frame = event.target.closest("[data-frame]"), word = event.target.closest("[data-row]");
  if (frame) setStep(+frame.dataset.frame);
  else if (word && find("[data-chips]")) choose(+word.dataset.row);
});
element.addEventListener("keydown", (event) => {
  const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!move || !event.target.closest("[data-chips]")) return;
  event.preventDefault();
  choose(at.row + move);
});
element.addEventListener("input", (event) => {
  const input = event.target;
  if (input.matches("[data-step]")) return setStep(+input.value - 1);
  if (input.matches("[data-all]")) { at.mean = input.checked; tell(); draw(); }
  if (input.name === "layers") { at.layers = input.value; tell(); draw(); }
  if (input.name === "branch") { at.branch = input.value; at.row = branch().first; tell(); draw(); }
});

function setStep(step) {
  at.step = step;
  at.mean = false;
  find("[data-all]").checked = false;
  find("[data-step]").value = step + 1;
  tell();
  draw();
}

function renew() {
  const store = find("[data-maps]");
  if (!store) { data = null; parsed = null; return; }
  if (parsed === store.dataset.maps) return;
  const before = data ? branch().rows[at.row]?.name : null;
  parsed = store.dataset.maps;
  data = JSON.parse(parsed);
  tiles.clear();
  at = { branch: "prompt", layers: data.layers, row: data.branches.prompt.first, step: data.labels.length - 1, mean: true };
  const same = branch().rows.findIndex((row) => row.name === before); // the token that was chosen, if still there
  if (same >= 0) at.row = same;
  if (first) restore();
  first = false;
  draw();
}

function restore() {
  const { asked, askedNumber } = window.steuervektor;
  if (data.branches[asked(`${name}.branch`)]) at.branch = asked(`${name}.branch`);
  if (branch().groups[asked(`${name}.layers`)]) at.layers = asked(`${name}.layers`);
  at.row = askedNumber(`${name}.token`, 0, branch().rows.length - 1, at.row);
  const step = askedNumber(`${name}.step`, 1, data.labels.length, 0);
  for (const [group, value] of [["branch", at.branch], ["layers", at.layers]]) {
    const input = find(`input[name="${group}"][value="${value}"]`);
    if (input) input.checked = true;
  }
  if (!step || !find("[data-step]")) return;
  Object.assign(at, { step: step - 1, mean: false });
  find("[data-all]").checked = false;
  find("[data-step]").value = step;
}
watch("value", renew);
renew();
