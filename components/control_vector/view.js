// Pointing at a row, clicking it or moving with the arrow keys says its length and its nearest other rows.
// The data come from `view._data`. Texts of visitors only ever become textContent.
let rows = null;
let pinned = null; // the row that was clicked; pointing elsewhere is only a glance
const row = (place) => element.querySelector(`[data-place="${place}"]`);

const { fill, quote, say } = window.steuervektor;

function detail(place) {
  const { names, lengths, nearest, cosines, texts } = rows;
  const box = element.querySelector(".cv-detail");
  const name = document.createElement("b");
  say(name, quote(names[place]));
  const line = document.createElement("p");
  line.textContent = fill(texts.detail_row, { place: place + 1, length: lengths[place] });
  const list = document.createElement("ul");
  nearest[place].forEach((other, i) => {
    const item = document.createElement("li");
    say(item, fill(texts.detail_near, { place: other + 1, name: quote(names[other]), cosine: cosines[place][i] }));
    list.append(item);
  });
  box.replaceChildren(name, line, list);
}

function show(place) {
  for (const old of element.querySelectorAll(".cv-row")) {
    const at = +old.dataset.place;
    old.setAttribute("aria-selected", at === place ? "true" : "false");
    old.tabIndex = at === place ? 0 : -1;
    old.classList.toggle("cv-near", rows.nearest[place].includes(at));
  }
  element.querySelector(".cv-rows").tabIndex = -1; // the selected row is the one stop of the Tab key
  detail(place);
}

const placeOf = (event) => {
  const found = event.target.closest?.(".cv-row");
  return found && rows ? +found.dataset.place : null;
};
element.addEventListener("pointerover", (event) => {
  const place = placeOf(event);
  if (place !== null && event.pointerType !== "touch") show(place);
});
element.addEventListener("pointerleave", () => { if (rows) show(pinned); }, true);
element.addEventListener("click", (event) => {
  const place = placeOf(event);
  if (place !== null) { pinned = place; show(place); }
});
element.addEventListener("keydown", (event) => {
  const place = placeOf(event);
  if (place === null) return;
  const last = rows.names.length - 1;
  const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  pinned = Math.max(0, Math.min(last, to));
  show(pinned);
  row(pinned).focus();
});

function renew() {
  const store = element.querySelector("[data-rows]");
  rows = store ? JSON.parse(store.dataset.rows) : null;
  if (!rows) return;
  pinned = rows.start;
  show(pinned);
}
watch("value", renew);
renew();
