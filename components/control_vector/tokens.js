// The prompt's tokens as buttons: a click chooses one.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-place]");
  if (button) trigger("select", { place: +button.dataset.place });
});
