// One script for all drawings of the matrix tab; each finds in its own element what it cares about.

window.svViews["ui/uploads"](element, trigger, props, upload); // pictures are dropped on the matrix and taken off it

// Temperature: the slider runs on the logarithm; its number follows at once, the matrix from the server.
const slide = (range) => {
  const temperature = 10 ** Number(range.value);
  const text = temperature.toFixed(3);
  range.ariaValueText = element.querySelector(".cm-tau").textContent =
    range.dataset.comma === "True" ? text.replace(".", ",") : text;
  trigger("input", { temperature });
  window.steuervektor.address({ "clip_matrix.temperature": temperature.toFixed(3) });
};
element.addEventListener("input", (event) => {
  if (event.target.type === "range") slide(event.target);
});

element.addEventListener("click", (event) => {
  if (!event.target.closest(".cm-reset")) return;
  const range = element.querySelector("input[type=range]");
  range.value = range.dataset.learned;
  slide(range);
  window.steuervektor.address({ "clip_matrix.temperature": null });
});

const range = element.querySelector("#cm-tau"), asked = Number(window.steuervektor.asked("clip_matrix.temperature"));
if (range && asked > 0) {
  range.value = Math.log10(asked); // the browser keeps it in its range
  slide(range);
}

// Pointing at a cell lights up its picture and its text.
element.addEventListener("pointerover", (event) => {
  const cell = event.target.closest(".cm-cell");
  for (const lit of element.querySelectorAll(".cm-lit")) lit.classList.remove("cm-lit");
  if (!cell) return;
  const row = cell.parentElement;
  row.querySelector(".cm-text").classList.add("cm-lit");
  row.parentElement.firstElementChild.children[cell.cellIndex].classList.add("cm-lit");
});
