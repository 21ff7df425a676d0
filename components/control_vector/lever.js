// Scrubbing along a lever: the pictures of all its stations are in the page, so no move asks the server.
// `place` events come from the slider above; the data from `lever_view.strip_view`.
const NEAR = 0.006;
let lever = null;
let at = null; // where the slider stands, which a new view of the same pictures must not forget
const { fill } = window.steuervektor;
const part = (name) => element.querySelector(`[data-${name}]`);

function spoken(value) {
  const text = String(Math.round(value * 100) / 100);
  return lever.comma ? text.replace(".", ",") : text;
}

function show(value) {
  if (!lever) return;
  at = value;
  const { stations, extra, texts } = lever;
  let nearest = 0;
  stations.forEach((station, i) => { if (Math.abs(station - value) < Math.abs(stations[nearest] - value)) nearest = i; });
  const on = Math.abs(stations[nearest] - value) < NEAR;
  const own = !on && extra && Math.abs(extra.value - value) < NEAR ? extra : null;
  const share = Math.round(100 * value);
  part("read").textContent = fill(texts.read, { a: 100 - share, b: share, weight: spoken(value) });
  const lead = part("lead");
  lead.src = own?.source || lever.sources[nearest];
  lead.alt = own?.source ? texts.exact : lever.captions[nearest];
  part("caption").textContent = lead.alt;
  window.steuervektor.say(part("scores"), own ? own.status : lever.scores[nearest]);
  part("note").textContent = on || own ? "" : texts.between;
  for (const button of element.querySelectorAll("[data-station]")) {
    if (+button.dataset.station === nearest && !own) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  const plot = document.querySelector(`#cv-${lever.lever}-figure .js-plotly-plot`);
  if (plot?.layout?.shapes?.length && window.Plotly) window.Plotly.relayout(plot, { "shapes[0].x0": value, "shapes[0].x1": value });
}

element.addEventListener("place", (event) => { at = event.detail; show(at); });
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-station]");
  if (!button || !lever) return;
  const range = document.querySelector(`#cv-${lever.lever}-slider input[type=range]`);
  const value = lever.stations[+button.dataset.station];
  range.value = value;
  range.dispatchEvent(new Event("input", { bubbles: true }));
  show(value);
});

function renew() {
  const store = element.querySelector("[data-lever]");
  lever = store ? JSON.parse(store.dataset.lever) : null;
  if (!lever) return;
  const range = document.querySelector(`#cv-${lever.lever}-slider input[type=range]`);
  show(range ? +range.value : lever.at);
}
watch("value", renew);
renew();
