// The console of a training. Whoever draws the training says how far it is (`set`) and hears where the
// visitor moves the slider (`moved`); what is pressed goes to the server. A step that is looked back on is
// `held` until a button is pressed: what the run, or its pause, still has to say comes late and must not lead away.
let state = { at: 0, last: 0, most: 1, running: false };
let held = null;
let moved = () => {};
const find = (selector) => element.querySelector(`.console ${selector}`);

function tell({ at, most, running }) {
  const place = find("[role=status]");
  const said = place.dataset[running ? "running" : at >= most ? "done" : "paused"].replace("{step}", at);
  if (place.textContent !== said) place.textContent = said;
}

function set(next) {
  state = { ...state, ...next };
  const { at, last, most, running } = state;
  if (last === 0) held = null;
  const range = find("input");
  if (!range) return;
  range.max = Math.max(1, last);
  range.value = at;
  range.disabled = last === 0;
  range.setAttribute("aria-valuetext", element.querySelector(".console").dataset.step.replace("{step}", at));
  const over = !running && at >= most;
  const go = find("[data-act=go]");
  go.textContent = running ? go.dataset.pause : at ? go.dataset.goon : go.dataset.start;
  go.disabled = over;
  find("[data-act=one]").disabled = running || over;
  tell(state);
}

element.addEventListener("input", (event) => {
  if (!event.target.matches(".console input")) return;
  event.stopPropagation();
  const ran = state.running;
  held = Math.min(state.last, +event.target.value);
  set({ at: held, running: false });
  if (ran) trigger("stop", {});
  moved(held);
});

element.addEventListener("click", (event) => {
  const act = event.target.closest(".console button")?.dataset.act;
  if (act) held = null;
  if (act === "go") trigger(state.running ? "stop" : "submit", { step: state.at });
  else if (act === "one") trigger("edit", { step: state.at });
  else if (act === "anew") trigger("clear", {});
});

return { set, held: () => held, onmove: (heard) => { moved = heard; } };
