// The console of the DINO training; how far that is, the drawing beneath says.
const controls = window.svViews["ui/training_console"](element, trigger);
const ask = (step) => trigger("input", { step });

function read() {
  const drawn = document.querySelector("#dino-training .training")?.dataset;
  if (!drawn) return;
  const [at, last, most, held] = [+drawn.at, +drawn.last, +drawn.most, controls.held()];
  if (held !== null && at !== Math.min(held, last)) ask(held);
  else controls.set({ at, last, most, running: drawn.running === "true" });
}

controls.onmove(ask);
document.addEventListener("dino-training", read);
read();
