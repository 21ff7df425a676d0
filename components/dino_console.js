// The console of the DINO training; how far that is, the drawing beneath says.
let wanted = null;  // the step that the visitor looks back on, until a button is pressed
const controls = window.svViews.training_console(element, trigger);
const ask = () => trigger("input", { step: wanted });

function read() {
  const drawn = document.querySelector("#dino-training .training")?.dataset;
  if (!drawn) return;
  const [at, last, most] = [+drawn.at, +drawn.last, +drawn.most];
  if (wanted !== null && at !== Math.min(wanted, last)) return ask();  // a view of the run, or of its pause, came late
  controls.set({ at, last, most, running: drawn.running === "true" });
}

controls.onmove((at) => { wanted = at; ask(); });
element.addEventListener("click", (event) => {
  if (event.target.closest("button")) wanted = null;  // a slider that is let go clicks, too
}, true);
document.addEventListener("dino-training", read);
read();
