// One script for the builder and for every grid of pictures of the prompt lab: what is clicked says
// in data attributes what it means. `element` is the gr.HTML, `trigger` tells the server.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || !element.contains(button)) return;
  const { dimension, value, draw, stop } = button.dataset;
  if (stop !== undefined) { button.disabled = true; trigger("stop", {}); }
  else if (draw !== undefined) trigger("click", { dimension: draw });
  else if (dimension !== undefined) {
    for (const card of element.querySelectorAll(".pl-card")) card.classList.toggle("pl-taken", card === button);
    trigger("select", { dimension, value });
  }
});
