// Scrubbing a trace: every picture of it is in the page already, so no move asks the server.
// One script serves all views of a trace; `element` is the gr.HTML that holds the view.
let frames = null;
let parsed = null;
let timer = null;
let first = true;
const name = `${element.closest("[id]")?.id}.step`; // in the address

function read() {
  const store = element.querySelector("[data-frames]");
  if (!store) { frames = null; parsed = null; return; }
  if (parsed !== store.dataset.frames) {
    parsed = store.dataset.frames;
    frames = JSON.parse(parsed);
  }
}

function show(index) {
  if (!frames) return;
  const last = frames.labels.length - 1;
  const at = Math.max(0, Math.min(last, index));
  for (const picture of element.querySelectorAll("img[data-row]")) {
    const row = frames.rows[picture.dataset.row];
    if (row && row[at]) { picture.src = row[at]; picture.alt = picture.dataset.alt + ", " + frames.labels[at]; }
  }
  for (const place of element.querySelectorAll("[data-text]")) place.textContent = frames.texts[place.dataset.text][at];
  const range = element.querySelector("input[type=range]");
  range.value = at + 1;
  range.setAttribute("aria-valuetext", frames.labels[at]);
  range.style.setProperty("--done", last ? at / last : 1);
  let lit = null;
  for (const thumb of element.querySelectorAll(".film button")) {
    thumb.removeAttribute("aria-current");
    if (+thumb.dataset.step <= at) lit = thumb;
  }
  if (lit) lit.setAttribute("aria-current", "true");
}

function pause() {
  clearInterval(timer);
  timer = null;
  const play = element.querySelector(".play");
  if (play) { play.setAttribute("aria-pressed", "false"); play.textContent = play.dataset.play; }
}

function start(play) {
  const range = element.querySelector("input[type=range]");
  const last = frames.labels.length - 1;
  let at = +range.value - 1 >= last ? 0 : +range.value - 1;
  show(at);
  play.setAttribute("aria-pressed", "true");
  play.textContent = play.dataset.pause;
  timer = setInterval(() => { at += 1; show(at); if (at >= last) pause(); }, Math.max(60, 4000 / (last + 1)));
}

element.addEventListener("input", (event) => {
  if (event.target.matches("input[type=range]")) { pause(); choose(+event.target.value - 1); }
});
element.addEventListener("click", (event) => {
  const thumb = event.target.closest(".film button");
  const play = event.target.closest(".play");
  if (thumb) { pause(); choose(+thumb.dataset.step); }
  if (play && frames) { if (timer) pause(); else start(play); }
});

function choose(index) {
  show(index);
  window.steuervektor.address({ [name]: index + 1 });
}

function renew() {
  pause();
  read();
  if (!frames) return;
  show(first ? window.steuervektor.askedNumber(name, 1, frames.labels.length, frames.start + 1) - 1 : frames.start);
  first = false;
}
watch("value", renew);
renew();
