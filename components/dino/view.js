// The patches of the DINO tab: grids of numbers come as grey pictures and are drawn over the pictures here.

const dataOf = () => element.querySelector("[data-dino]");
let shown = null; // the data that is drawn at the moment, as text
let data, similarity, attention, chosen, layer;

const { fill } = window.steuervektor;
const pixelsOf = async (source) => {
  const { width, data: bytes } = await window.steuervektor.pixelsOf(source);
  return { width, at: (x, y) => bytes[4 * (y * width + x)] };
};

const written = (value) => value.toFixed(2).replace("-", "−").replace(".", data.decimal);

const heat = (canvas, strength) => {
  const grid = data.grid;
  [canvas.width, canvas.height] = [grid, grid];
  const context = canvas.getContext("2d");
  const image = context.createImageData(grid, grid);
  for (let i = 0; i < grid * grid; i++) {
    const s = Math.max(0, Math.min(1, strength(i)));
    image.data.set([255, 150 - 70 * s, 0, 235 * s], 4 * i);
  }
  context.putImageData(image, 0, 0);
};

const cosine = (picture, patch) => similarity.at(picture * data.grid ** 2 + patch, chosen) / 127.5 - 1;

const mark = (tile, patch, kind) => {
  let box = tile.querySelector(`.${kind}`);
  if (!box) tile.append((box = Object.assign(document.createElement("i"), { className: kind })));
  const side = 100 / data.grid;
  Object.assign(box.style, {
    left: `${(patch % data.grid) * side}%`,
    top: `${Math.floor(patch / data.grid) * side}%`,
    width: `${side}%`,
    height: `${side}%`,
  });
};

const drawSimilarity = () => {
  const best = data.pictures.map((_, picture) => {
    let at = -1;
    for (let i = 0; i < data.grid ** 2; i++) {
      if (picture === 0 && i === chosen) continue;
      if (at < 0 || cosine(picture, i) > cosine(picture, at)) at = i;
    }
    return at;
  });
  for (const tile of element.querySelectorAll("[data-tile=like]")) {
    const picture = Number(tile.dataset.picture);
    heat(tile.querySelector("canvas"), (i) => (cosine(picture, i) - data.low) / (1 - data.low));
    if (picture === 0) mark(tile, chosen, "chosen");
    else mark(tile, best[picture], "best");
  }
  for (const tile of element.querySelectorAll("[data-tile=colours][data-picture='0']")) mark(tile, chosen, "chosen");
  const last = data.pictures.length - 1;
  const values = { cosine: written(cosine(last, best[last])), low: written(data.low) };
  element.querySelector("[data-legend]").textContent = fill(data.words[last ? "legend_two" : "legend_one"], values);
};

const drawHeads = () => {
  const place = element.querySelector("[data-heads]");
  const heads = data.shares[0][0].length;
  place.replaceChildren();
  for (let picture = 0; picture < data.pictures.length; picture++) {
    for (let head = 0; head < heads; head++) {
      const figure = document.createElement("figure");
      const tile = pictureTile(picture);
      const [left, top] = [(picture * heads + head) * data.grid, layer * data.grid];
      const value = (i) => attention.at(left + (i % data.grid), top + Math.floor(i / data.grid)) / 255;
      heat(tile.querySelector("canvas"), value);
      const caption = document.createElement("figcaption");
      const held = data.registers?.[picture][layer][head] ?? 0;
      const rest = Math.round(100 * (1 - held - data.shares[picture][layer][head]));
      const said = [fill(data.words.head, { head: head + 1 }), fill(data.words.on_itself, { share: rest })];
      if (data.registers) said.push(fill(data.words.on_registers, { share: Math.round(100 * held) }));
      caption.textContent = said.join(" · ");
      figure.append(tile, caption);
      place.append(figure);
    }
  }
  place.style.setProperty("--heads", heads);
};

const pictureTile = (picture, tile = Object.assign(document.createElement("div"), { className: "tile" })) => {
  const image = Object.assign(document.createElement("img"), {
    src: data.pictures[picture],
    alt: fill(data.words.picture_alt, { number: picture + 1 }),
  });
  tile.replaceChildren(image, document.createElement("canvas"));
  return tile;
};

const choose = (patch) => {
  chosen = patch;
  drawSimilarity();
};

// What Gradio puts in anew is what the server wrote, even where the data is the same: tiles are filled again.
const painted = () => [...element.querySelectorAll("[data-tile]")].every((tile) => tile.querySelector("img, canvas"));

const show = async () => {
  const text = dataOf()?.dataset.dino ?? null;
  if (text === shown && painted()) return;
  shown = text;
  if (text === null) return;
  const next = JSON.parse(text);
  const [a, b] = await Promise.all([pixelsOf(next.similarity), pixelsOf(next.attention)]);
  if (text !== shown) return;
  [data, similarity, attention] = [next, a, b];
  layer = data.shares[0].length - 1;
  for (const tile of element.querySelectorAll("[data-tile]")) {
    const picture = Number(tile.dataset.picture);
    if (tile.dataset.tile === "like") pictureTile(picture, tile);
    else {
      const image = Object.assign(document.createElement("img"), {
        src: data.colours[picture],
        className: "crisp",
        alt: fill(data.words.picture_alt, { number: picture + 1 }),
      });
      tile.replaceChildren(image);
    }
  }
  choose(data.first);
  drawHeads();
  element.querySelector(".dn").dataset.ready = "yes";
};

const patchAt = (tile, event) => {
  const box = tile.getBoundingClientRect();
  const at = (value, start, length) => Math.max(0, Math.min(data.grid - 1, Math.floor(((value - start) / length) * data.grid)));
  return at(event.clientY, box.top, box.height) * data.grid + at(event.clientX, box.left, box.width);
};

element.addEventListener("click", (event) => {
  const tile = event.target.closest("[data-tile][data-picture='0']");
  if (tile && data) choose(patchAt(tile, event));
});
element.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = steps[event.key];
  if (!step || !data || !event.target.matches("[data-tile]")) return;
  event.preventDefault();
  const inside = (value) => Math.max(0, Math.min(data.grid - 1, value));
  choose(inside(Math.floor(chosen / data.grid) + step[1]) * data.grid + inside((chosen % data.grid) + step[0]));
});
element.addEventListener("change", (event) => {
  if (event.target.name !== "dino-layer") return;
  layer = Number(event.target.value);
  drawHeads();
});

// Gradio changes the view in place, its element kept, or puts it in anew.
new MutationObserver(show).observe(element, {
  childList: true, subtree: true, attributes: true, attributeFilter: ["data-dino"],
});
show();
